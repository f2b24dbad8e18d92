"""The archive as a process: `python -m services.archive`."""

from __future__ import annotations

from functools import partial

from adapters.archive import Archive
from adapters.archive_writer import ArchiveWriter
from adapters.kafka import (
    DECISIONS,
    LABELS,
    PROGRESS,
    STREAM_GROUP,
    TRANSACTIONS,
    LogInquiry,
    LogReader,
    ProgressWriter,
)
from adapters.process import mark_ready, run_service
from adapters.settings import Settings, read_settings
from adapters.table_store import TableStore
from services.archive.archivist import Archivist
from services.archive.feeding import rebuilt
from services.archive.resuming import resumed

POLL_SECONDS = 0.05


def main() -> None:
    """Put the archivist together and run it until SIGTERM."""
    settings = read_settings()
    with run_service() as stopping:
        writer = ArchiveWriter(settings.archive)
        inquiry = LogInquiry(settings.kafka_bootstrap, STREAM_GROUP)
        archive = Archive(settings.archive)
        archivist = Archivist(
            writer,
            TableStore(settings.tables),
            rebuilt(archive),
            resumed(archive, range(settings.partitions)),
            decided_up_to=partial(inquiry.committed, TRANSACTIONS),
            announce=ProgressWriter(settings.kafka_bootstrap).write,
        )
        with LogReader(settings.kafka_bootstrap, positions(settings, writer)) as reader:
            mark_ready(settings, "archive")
            while not stopping.is_set():
                archivist.take(reader.poll(POLL_SECONDS))
                archivist.close_days(reader)
        archivist.flush()
        writer.close()


def positions(settings: Settings, writer: ArchiveWriter) -> dict[tuple[str, int], int]:
    """Where to read on: the written positions; the whole of `progress`, which is short and says which days are open."""
    start = {(topic, p): 0 for topic in (TRANSACTIONS, LABELS, DECISIONS) for p in range(settings.partitions)}
    return {**start, **writer.positions(), (PROGRESS, 0): 0}


if __name__ == "__main__":
    main()
