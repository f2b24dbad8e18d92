"""The archive as a daily job: `python -m services.archive.aws.daily_job` archives a day from the bucket and closes it.

It turns the objects under `decisions/` and `labels/` into the same files, index and reference tables that the archive
service makes of topics. A transaction arrives with its decision. A repeated transaction has no decision and changes no
state, so it is not needed.

One run:
1. fetch the index and the rows that the reference tables need; return if the day is closed;
2. archive the new rows with the positions after them;
3. close every open day up to this one (`services.archive.day_closing`): its table and its progress record are stored;
4. store the archive: its new files, then its index, which makes them valid.

A run that is killed before the end of step 4 leaves stored tables, and files that no index names. The next run repeats
all steps with the rows that have arrived since; the stored tables stay. Of two concurrent runs one is refused at
step 4.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from adapters.archive.reference_feed import add_rows
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, Row, decision_row, label_row, transaction_row
from adapters.aws.object_keys import LABELS_PREFIX, TABLES_PREFIX
from adapters.aws.s3 import Bucket
from adapters.aws.s3_archive import S3Archive
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.runtime.clock import epoch_ms
from adapters.runtime.jobs import day_of, required, run_job
from cardwatch.events import from_epoch_ms
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from services.archive.aws.delivered_objects import new_decisions, new_labels
from services.archive.aws.repartition import NextOffsets, partition_of, repartition
from services.archive.day_closing import close_day
from services.archive.recovery import first_day_needed, restore_builder

log = logging.getLogger("services.archive.aws.daily_job")  # also when it is run as __main__

SHARDS: Final = "shards"
"""Topic name of the shard positions in the index. The position of a label file has the key of the file as its topic."""

_DAY: Final = timedelta(days=1)


def main() -> None:
    """Archive the day that the settings name."""
    with run_job("archive") as job:
        day = day_of(job.settings, from_epoch_ms(int(epoch_ms())))
        archive_day(Bucket(required(job.settings, "data_bucket")), day, job.folder)


def archive_day(bucket: Bucket, day: date, folder: Path) -> None:
    """Archive `day` in an empty `folder`. Repeated for a closed day, it changes nothing.

    Raises a retriable error if the bucket does not answer, or if another run was faster.
    """
    stored = S3Archive(bucket, folder / "archive")
    archive = stored.fetch_index()
    if archive.exists:
        if day in archive.closed_days():
            log.info("%s is closed already", day)
            return
        stored.fetch_files({TRANSACTIONS: first_day_needed(archive), LABELS: date.min})
    tables, progress = BucketTables(bucket, folder / "tables"), S3ProgressLog(bucket)
    with closing(ArchiveWriter(stored.folder)) as writer:
        builder = restore_builder(archive)
        archive_decisions(bucket, stored, writer, builder)
        label_ends = archive_labels(bucket, stored, writer, builder)
        for open_day in days_to_close(writer.closed_days(), day):
            archived = close_day(
                open_day,
                writer,
                tables,
                builder,
                label_ends=label_ends,
                announce=lambda record: progress.write(record.day, ProgressPart.ARCHIVE, [record]),
            )
            log.info("closed: %s", archived)
    stored.store()


class BucketTables(ReferenceTableStore):
    """The reference tables in the bucket; `folder` holds copies of those that were read or stored."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        super().__init__(folder)
        self._bucket, self._copies = bucket, folder

    def of_day(self, day: date) -> ReferenceTable | None:
        """Return the stored table that is valid from `day`."""
        self._bucket.fetch_folder(TABLES_PREFIX, self._copies, wanted=lambda name: name.startswith(day.isoformat()))
        return super().of_day(day)

    def put(self, table: ReferenceTable) -> None:
        """Store a table in the bucket."""
        super().put(table)
        self._bucket.store_folder(self._copies, TABLES_PREFIX)


def archive_decisions(bucket: Bucket, stored: S3Archive, writer: ArchiveWriter, builder: ReferenceBuilder) -> None:
    """Archive every new decision with its transaction."""
    next_offsets = NextOffsets(shards=stored.positions(SHARDS), partitions=stored.positions(TRANSACTIONS))
    for batch in new_decisions(bucket, next_offsets.shards):
        decisions, next_offsets = repartition(batch, next_offsets, stored.holds)
        transactions = [transaction_row(each.transaction, each.partition, each.offset) for each in decisions]
        add_rows(builder, transactions, [])
        writer.write(
            {TRANSACTIONS: transactions, DECISIONS: [decision_row(decision) for decision in decisions]},
            {
                **{(SHARDS, shard): offset for shard, offset in next_offsets.shards.items()},
                **{(TRANSACTIONS, partition): offset for partition, offset in next_offsets.partitions.items()},
            },
        )
        log.info("%d decisions, %d of them new", len(batch), len(decisions))


def archive_labels(
    bucket: Bucket, stored: S3Archive, writer: ArchiveWriter, builder: ReferenceBuilder
) -> dict[int, int]:
    """Archive every new label, file by file, and return the label offset after the last one, per partition.

    A label has a position in the log like a transaction of its card.
    """
    ends = stored.positions(LABELS)
    for file in new_labels(bucket, stored.positions_below(LABELS_PREFIX)):
        rows: list[Row] = []
        for label in file.labels:
            partition = partition_of(label.card_id)
            rows.append(label_row(label, partition, ends.get(partition, 0)))
            ends[partition] = ends.get(partition, 0) + 1
        add_rows(builder, [], rows)
        positions = {(LABELS, partition): end for partition, end in ends.items()}
        writer.write({LABELS: rows}, {**positions, (file.key, 0): file.read_up_to})
        log.info("%s: %d labels", file.key, len(rows))
    return ends


def days_to_close(closed: Collection[date], day: date) -> list[date]:
    """Return the open days up to `day` in order: those after the newest closed day."""
    newest = max(closed, default=day - _DAY)
    return [newest + _DAY * number for number in range(1, (day - newest).days + 1)]


if __name__ == "__main__":
    main()
