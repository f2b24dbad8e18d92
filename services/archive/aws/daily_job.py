"""The archive as a job: `python -m services.archive.aws.daily_job` archives a day from the bucket and closes it.

It makes of the objects under `decisions/` and `labels/` what the archive service makes of topics: the same files, the
same index, the same reference tables. A transaction comes with its decision. A repeat has none and changes no state, so
nobody misses it.

One run:
1. fetch the index and what the builder of tables needs; a day that is closed there is done;
2. take what is new: rows, and the positions that they bring us to;
3. build and store the table of every day that is still open, up to this one; a table that is stored is taken as it is,
   for a worker may have used it;
4. say under `progress/` that the days are archived;
5. store the archive: its new files, then its index, which is what counts.

Killed before the end of 5: nothing has happened but tables that stay and files that nothing names, and the next run
does all of it again. What has come meanwhile it takes as well, and the table of the day stays the one that was stored.
Two runs at once: one of them is refused at 5.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, Row, decision_row, label_row, transaction_row
from adapters.aws.object_keys import LABELS_PREFIX, TABLES_PREFIX
from adapters.aws.s3 import Bucket
from adapters.aws.s3_archive import S3Archive
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.runtime.clock import epoch_ms
from adapters.runtime.jobs import day_of, required, run_job
from cardwatch.events import from_epoch_ms
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceBuilder, ReferenceTable
from cardwatch.progress import DayArchived
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from services.archive.aws.delivered_objects import new_decisions, new_labels
from services.archive.aws.repartition import Reached, partition_of, rekey
from services.archive.reference_feed import feed, rebuilt

log = logging.getLogger("services.archive.aws.daily_job")  # also when it is run as __main__

SHARDS: Final = "shards"
"""The name under which the index keeps how far each shard has been read; a file of labels has its key for a name."""

_DAY: Final = timedelta(days=1)


def main() -> None:
    """Archive the day that the settings name."""
    with run_job("archive") as job:
        day = day_of(job.settings, from_epoch_ms(int(epoch_ms())))
        archive_day(Bucket(required(job.settings, "data_bucket")), day, job.folder)


def archive_day(bucket: Bucket, day: date, folder: Path) -> None:
    """Archive `day` in an empty `folder`. Done for a day that is closed, it changes nothing.

    Raises what is retriable if the bucket does not answer, or another run was faster.
    """
    stored = S3Archive(bucket, folder / "archive")
    archive = stored.fetch_index()
    if archive.exists:
        if day in archive.closed_days():
            log.info("%s is closed already", day)
            return
        stored.fetch_files({TRANSACTIONS: _first_day_needed(archive), LABELS: date.min})
    with closing(ArchiveWriter(stored.folder)) as writer:
        builder = rebuilt(archive)
        take_decisions(bucket, stored, writer, builder)
        take_labels(bucket, stored, writer, builder)
        for open_day in days_to_close(writer.closed_days(), day):
            close_day(bucket, writer, builder, open_day, folder / "tables")
    stored.store()


def take_decisions(bucket: Bucket, stored: S3Archive, writer: ArchiveWriter, builder: ReferenceBuilder) -> None:
    """Archive every decision that is new, with its transaction."""
    reached = Reached(shards=stored.positions(SHARDS), partitions=stored.positions(TRANSACTIONS))
    for some in new_decisions(bucket, reached.shards):
        decisions, reached = rekey(some, reached, stored.holds)
        transactions = [transaction_row(each.transaction, each.partition, each.offset) for each in decisions]
        feed(builder, transactions, [])
        writer.write(
            {TRANSACTIONS: transactions, DECISIONS: [decision_row(decision) for decision in decisions]},
            {
                **{(SHARDS, shard): offset for shard, offset in reached.shards.items()},
                **{(TRANSACTIONS, partition): offset for partition, offset in reached.partitions.items()},
            },
        )
        log.info("%d decisions, %d of them new", len(some), len(decisions))


def take_labels(bucket: Bucket, stored: S3Archive, writer: ArchiveWriter, builder: ReferenceBuilder) -> None:
    """Archive every label that is new, file by file; each has a place in the log like a transaction of its card."""
    ends = stored.positions(LABELS)
    for file in new_labels(bucket, stored.positions_below(LABELS_PREFIX)):
        rows: list[Row] = []
        for label in file.labels:
            partition = partition_of(label.card_id)
            rows.append(label_row(label, partition, ends.get(partition, 0)))
            ends[partition] = ends.get(partition, 0) + 1
        feed(builder, [], rows)
        positions = {(LABELS, partition): end for partition, end in ends.items()}
        writer.write({LABELS: rows}, {**positions, (file.key, 0): file.read_up_to})
        log.info("%s: %d labels", file.key, len(rows))
    for partition, end in ends.items():
        builder.saw_labels_up_to(partition, end)


def days_to_close(closed: Collection[date], day: date) -> list[date]:
    """The days up to `day` that are open, in order: those that no run has closed since the newest that is."""
    newest = max(closed, default=day - _DAY)
    return [newest + _DAY * number for number in range(1, (day - newest).days + 1)]


def close_day(bucket: Bucket, writer: ArchiveWriter, builder: ReferenceBuilder, day: date, folder: Path) -> None:
    """Store the table that is valid from the next day on, and record the day as closed."""
    table = stored_table(bucket, builder, day + _DAY, folder)
    counts = {kind: writer.count(kind, day) for kind in (TRANSACTIONS, DECISIONS, LABELS)}
    S3ProgressLog(bucket).write(
        day,
        ProgressPart.ARCHIVE,
        [
            DayArchived(
                day=day,
                transactions=counts[TRANSACTIONS],
                decisions=counts[DECISIONS],
                labels=counts[LABELS],
                table_id=table.table_id,
            )
        ],
    )
    writer.close_day(day, table.table_id)
    log.info("%s is closed with table %s: %s", day, table.table_id, counts)


def stored_table(bucket: Bucket, builder: ReferenceBuilder, valid_from: date, folder: Path) -> ReferenceTable:
    """The table of this day: the one in the bucket, or else a new one, which is there then."""
    bucket.fetch_folder(TABLES_PREFIX, folder, wanted=lambda name: name.startswith(valid_from.isoformat()))
    tables = ReferenceTableStore(folder)
    if (table := tables.of_day(valid_from)) is None:
        table = builder.build(valid_from)
        tables.put(table)
        bucket.store_folder(folder, TABLES_PREFIX)
    return table


def _first_day_needed(archive: Archive) -> date:
    """The first day of what `rebuilt` reads."""
    days, closed = archive.days(), archive.closed_days()
    if not days or not closed:
        return date.min
    return min(max(closed), days[-1]) - timedelta(days=2 * WINDOW_DAYS)


if __name__ == "__main__":
    main()
