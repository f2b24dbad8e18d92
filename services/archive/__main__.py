"""The archive as a process: `python -m services.archive`."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from datetime import datetime
from functools import partial
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
from services.archive.recovery import resumed
from services.archive.reference_feed import rebuilt

POLL_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 5.0

log = logging.getLogger("services.archive")


def main() -> None:
    """Archive until SIGTERM."""
    with run_service("archive") as process:
        metrics = ArchiveMetrics()
        process.keep_working(lambda: work(process, metrics))


def work(process: Process, metrics: ArchiveMetrics) -> None:
    """Put the archivist together from what is archived, and run it for as long as log and index answer."""
    settings = process.settings
    ensure_topics(settings.kafka_bootstrap, partitions=settings.partitions)
    with ExitStack() as open_now:
        writer = open_now.enter_context(closing(ArchiveWriter(settings.archive, settings.index_url)))
        inquiry = open_now.enter_context(closing(OffsetReader(settings.kafka_bootstrap, STREAM_GROUP)))
        archive = Archive(settings.archive, settings.index_url)
        archivist = Archiver(
            writer,
            ReferenceTableStore(settings.tables),
            rebuilt(archive),
            resumed(archive, range(settings.partitions)),
            decided_up_to=partial(inquiry.committed, TRANSACTIONS),
            announce=ProgressWriter(settings.kafka_bootstrap).write,
            metrics=metrics,
        )
        metrics.resumed(
            newest(archive.transactions(*archive.days()[-1:] * 2), "occurred_at") if archive.days() else None,
            newest(archive.all_labels(), "observed_at"),
            writer.bytes,
        )
        metrics.closed(max(writer.closed_days(), default=None))
        reader = open_now.enter_context(LogReader(settings.kafka_bootstrap, positions(settings, writer)))
        look_at = monotonic()
        while not process.stopping.is_set():
            archivist.take(reader.poll(POLL_SECONDS))
            archivist.close_days(reader)
            if monotonic() >= look_at:
                look(reader, writer, metrics)
                process.health.ready()
                look_at = monotonic() + LOOK_SECONDS
            process.health.turn()
        finish(archivist)


def look(reader: LogReader, writer: ArchiveWriter, metrics: ArchiveMetrics) -> None:
    """See how far behind reading is, and that log and index answer: in a quiet hour nothing else would ask them."""
    reader.end(PROGRESS, 0)
    writer.positions()
    for topic in (TRANSACTIONS, LABELS, DECISIONS):
        metrics.lags(topic, reader.lag(topic))


def finish(archivist: Archiver) -> None:
    """Write what is buffered, unless the index is away: the positions are older than these rows, so nothing is lost."""
    try:
        archivist.flush()
    except Unavailable as error:
        log.warning("ending without writing the newest rows, which will be read again: %s", error)


def newest(rows: pa.Table, column: str) -> datetime | None:
    """The latest moment in a column."""
    moment: datetime | None = pc.max(rows[column]).as_py()
    return moment


def positions(settings: Settings, writer: ArchiveWriter) -> dict[tuple[str, int], int]:
    """Where to read on: the written positions; the whole of `progress`, which is short and says which days are open."""
    start = {(topic, p): 0 for topic in (TRANSACTIONS, LABELS, DECISIONS) for p in range(settings.partitions)}
    return {**start, **writer.positions(), (PROGRESS, 0): 0}


if __name__ == "__main__":
    main()
