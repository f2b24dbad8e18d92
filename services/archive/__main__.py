"""The archive as a process: `python -m services.archive`."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from datetime import datetime
from time import monotonic
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.progress import ProgressWriter
from adapters.kafka.topics import ensure_topics
from adapters.runtime.process import Process, run_service
from adapters.runtime.settings import Settings
from cardwatch.errors import Unavailable
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, STREAM_GROUP, TRANSACTIONS
from services.archive.archiver import Archiver
from services.archive.metrics import ArchiveMetrics
from services.archive.recovery import restore_state

POLL_SECONDS: Final = 0.05
CHECK_SECONDS: Final = 5.0
"""Interval of the checks of log and index."""

log = logging.getLogger("services.archive")


def main() -> None:
    """Archive until SIGTERM."""
    with run_service("archive") as process:
        metrics = ArchiveMetrics()
        process.keep_working(lambda: work(process, metrics))


def work(process: Process, metrics: ArchiveMetrics) -> None:
    """Build the archiver from the archived state, and run it while log and index answer."""
    settings = process.settings
    ensure_topics(settings.kafka, partitions=settings.partitions)
    with ExitStack() as stack:
        writer = stack.enter_context(closing(ArchiveWriter(settings.archive, settings.index_url)))
        if (filled := writer.fill_alerts()) is not None:
            log.info("indexed %d alerts of files that were there before the index had alerts", filled)
        offsets = stack.enter_context(closing(OffsetReader(settings.kafka, STREAM_GROUP)))
        archive = Archive(settings.archive, settings.index_url)
        archiver = Archiver(
            writer,
            ReferenceTableStore(settings.tables),
            restore_state(archive, range(settings.partitions)),
            settings.partitioning,
            offsets=offsets,
            announce=ProgressWriter(settings.kafka).write,
            metrics=metrics,
        )
        metrics.set_written(
            newest(archive.transactions(*archive.days()[-1:] * 2), "occurred_at") if archive.days() else None,
            newest(archive.all_labels(), "observed_at"),
            writer.bytes,
        )
        metrics.set_closed_day(max(writer.closed_days(), default=None))
        reader = stack.enter_context(LogReader(settings.kafka, positions(settings, writer)))
        next_check = monotonic()
        while not process.stopping.is_set():
            archiver.add(reader.poll(POLL_SECONDS))
            archiver.close_days(reader)
            if monotonic() >= next_check:
                check(reader, writer, metrics)
                process.health.ready()
                next_check = monotonic() + CHECK_SECONDS
            process.health.turn()
        finish(archiver)


def check(reader: LogReader, writer: ArchiveWriter, metrics: ArchiveMetrics) -> None:
    """Measure the lag, and query log and index, which nothing else does without traffic; raises if one is away."""
    reader.end(PROGRESS, 0)
    writer.positions()
    for topic in (TRANSACTIONS, LABELS, DECISIONS):
        metrics.set_lag(topic, reader.lag(topic))


def finish(archiver: Archiver) -> None:
    """Write the buffered rows. If the index does not answer they are read again from the written positions."""
    try:
        archiver.flush()
    except Unavailable as error:
        log.warning("the newest rows are not written and will be read again: %s", error)


def newest(rows: pa.Table, column: str) -> datetime | None:
    """Return the latest time in a column."""
    moment: datetime | None = pc.max(rows[column]).as_py()
    return moment


def positions(settings: Settings, writer: ArchiveWriter) -> dict[tuple[str, int], int]:
    """Return where reading starts: the written positions, and the start of `progress`, which names the open days."""
    start = {(topic, p): 0 for topic in (TRANSACTIONS, LABELS, DECISIONS) for p in range(settings.partitions)}
    return {**start, **writer.positions(), (PROGRESS, 0): 0}


if __name__ == "__main__":
    main()
