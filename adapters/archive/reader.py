"""Reading the archive: what monitor, training and reports ask of it. Safe while the archive service writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Select, select

from adapters.archive.index import CLOSED_DAYS, FILES, POSITIONS, ArchiveIndex
from adapters.archive.layout import SCHEMAS
from adapters.archive.log_files import BATCH_ROWS, RowGroupRange, find_stretches, partitions_of, read_in_log_order
from adapters.runtime.settings import Secret, Settings
from cardwatch.errors import ArchiveUnavailable, Misconfigured
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS


class Archive:
    """The archive in `folder`, its index at `index_url` or, without one, in the folder too.

    Days are event dates in UTC, ranges include both ends. Every call raises `ArchiveUnavailable` while there is no
    archive, or its index does not answer.
    """

    def __init__(self, folder: Path, index_url: str = "") -> None:
        self._folder = folder
        self._index = ArchiveIndex(folder, index_url, readonly=True)

    def days(self) -> list[date]:
        """The days that hold transactions, in order."""
        days = select(FILES.c.day).distinct().where(FILES.c.kind == TRANSACTIONS).order_by(FILES.c.day)
        return [date.fromisoformat(day) for (day,) in self._ask(days)]

    def closed_days(self) -> dict[date, str]:
        """The days that are complete, each with the id of the reference table built at its end."""
        closed = select(CLOSED_DAYS.c.day, CLOSED_DAYS.c.table_id).order_by(CLOSED_DAYS.c.day)
        return {date.fromisoformat(day): table for day, table in self._ask(closed)}

    def positions(self, topic: str) -> dict[int, int]:
        """Per partition the next offset that the archive does not hold yet."""
        known = select(POSITIONS.c.partition, POSITIONS.c.next_offset).where(POSITIONS.c.topic == topic)
        return dict(sorted((int(partition), int(offset)) for partition, offset in self._ask(known)))

    @property
    def exists(self) -> bool:
        """Whether there is an index to ask: known of a file, assumed of a server."""
        return self._index.exists

    def transactions(self, first: date, last: date) -> pa.Table:
        """Transactions of these days, in log order (partition, then log_offset)."""
        return self._read(TRANSACTIONS, first, last)

    def decisions(self, first: date, last: date) -> pa.Table:
        """Decisions on transactions of these days, in log order of the transactions."""
        return self._read(DECISIONS, first, last)

    def labels(self, observed_before: datetime) -> pa.Table:
        """Every label that was known before this moment, in label-log order."""
        table = self.all_labels()
        return table.filter(pc.less(table["observed_at"], pa.scalar(observed_before, table["observed_at"].type)))

    def all_labels(self) -> pa.Table:
        """Every label that is archived, in label-log order."""
        return self._read(LABELS, date.min, date.max)

    def files(self, kind: str) -> list[tuple[Path, int | None]]:
        """The Parquet files of one kind that the manifest names, by day, each with its number of rows."""
        named = select(FILES.c.path, FILES.c.rows).where(FILES.c.kind == kind).order_by(FILES.c.day, FILES.c.path)
        return [(self._folder / path, int(rows)) for path, rows in self._ask(named)]

    def log(self) -> FileLog:
        """Everything that is archived of transactions and decisions now, to be read in log order."""
        return FileLog(find_stretches(self.files(TRANSACTIONS)), find_stretches(self.files(DECISIONS)))

    def _read(self, kind: str, first: date, last: date) -> pa.Table:
        of_days = FILES.c.day.between(first.isoformat(), last.isoformat())
        named = self._ask(select(FILES.c.path).where(FILES.c.kind == kind, of_days).order_by(FILES.c.path))
        tables = [pq.read_table(self._folder / path, schema=SCHEMAS[kind], partitioning=None) for (path,) in named]
        if not tables:
            return SCHEMAS[kind].empty_table()
        return pa.concat_tables(tables).sort_by([("partition", "ascending"), ("log_offset", "ascending")])

    def _ask(self, query: Select[Any]) -> Sequence[Any]:
        if not self._index.exists:
            raise ArchiveUnavailable(f"there is no archive in {self._folder}: the archive service has not run here yet")
        with self._index.connected() as connection:
            return connection.execute(query).all()


class FileLog:
    """The log of transactions as it lies in files, with the decisions on them; each partition is read by itself."""

    def __init__(self, transactions: Sequence[RowGroupRange], decisions: Sequence[RowGroupRange] = ()) -> None:
        self._transactions, self._decisions = transactions, decisions

    @property
    def partitions(self) -> list[int]:
        """The partitions of the log, in order."""
        return partitions_of(self._transactions)

    @property
    def rows(self) -> int:
        """How many transactions it holds."""
        return sum(stretch.rows for stretch in self._transactions)

    def transactions(
        self, partition: int, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.Table]:
        """One partition's transactions by offset: these columns, and their place in the log."""
        return read_in_log_order(self._transactions, partition, columns, batch_rows=batch_rows)

    def recorded_tables(self, partition: int, *, batch_rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """`log_offset` and `table_id` of one partition's decisions, by the offset of the transaction."""
        return read_in_log_order(self._decisions, partition, ["table_id"], batch_rows=batch_rows)


def index_url_of(folder: Path, settings: Settings) -> Secret:
    """Where the index of the archive in `folder` is: `settings` know that of their own archive only."""
    return settings.index_url if folder.resolve() == settings.archive.resolve() else Secret("")


def open_log(folder: Path, index_url: str = "") -> FileLog:
    """The log in `folder`: an archive by its manifest, else every Parquet file below it, and no decisions.

    Raises `Misconfigured` if there is neither.
    """
    archive = Archive(folder, index_url)
    if archive.exists:
        return archive.log()
    return FileLog(find_stretches((path, None) for path in transaction_files(folder)))


def transaction_files(folder: Path, index_url: str = "") -> list[Path]:
    """The Parquet files of transactions in `folder`, an archive or not; raises `Misconfigured` if there is none."""
    archive = Archive(folder, index_url)
    files = [path for path, _ in archive.files(TRANSACTIONS)] if archive.exists else sorted(folder.rglob("*.parquet"))
    if not files:
        raise Misconfigured(f"there are no transactions in {folder}: neither an archive nor Parquet files")
    return files


def fraud_ids(labels: pa.Table) -> pa.Array[Any]:
    """Ids of the transactions that the newest of their labels calls fraud."""
    newest_last = labels.sort_by(
        [("observed_at", "ascending"), ("partition", "ascending"), ("log_offset", "ascending")]
    )
    verdicts = dict(zip(newest_last["transaction_id"].to_pylist(), newest_last["is_fraud"].to_pylist(), strict=True))
    return pa.array([transaction for transaction, is_fraud in verdicts.items() if is_fraud], pa.string())
