"""Reading the archive, for monitor, training and reports. Reading while the archive service writes is safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Select, select

from adapters.archive.index import CLOSED_DAYS, FILES, POSITIONS, ArchiveIndex
from adapters.archive.index import DECISIONS as DECISION_INDEX
from adapters.archive.index import TRANSACTIONS as TRANSACTION_INDEX
from adapters.archive.layout import SCHEMAS
from adapters.archive.log_files import (
    BATCH_ROWS,
    LOG_POSITION,
    RowGroupRange,
    find_row_groups,
    partitions_of,
    read_in_log_order,
)
from adapters.archive.log_of_others import require_log_of_transactions
from adapters.runtime.addresses import Secret
from adapters.runtime.settings import Settings
from cardwatch.errors import ArchiveUnavailable, Misconfigured
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

ACTION_COLUMNS: Final = (*LOG_POSITION, "action", "reasons", "degraded", "control_propensity")
"""Columns of decisions that say whether and why the outcome of a transaction can be observed."""


class Archive:
    """The archive in `folder`. Its index is at `index_url`, or in the folder too.

    Days are event dates in UTC. Ranges include both ends. Every call raises `ArchiveUnavailable` if there is no archive
    or its index does not answer.
    """

    def __init__(self, folder: Path, index_url: str = "") -> None:
        self._folder = folder
        self._index = ArchiveIndex(folder, index_url, readonly=True)

    def days(self) -> list[date]:
        """Return the days with transactions, in order."""
        days = select(FILES.c.day).distinct().where(FILES.c.kind == TRANSACTIONS).order_by(FILES.c.day)
        return [date.fromisoformat(day) for (day,) in self._query(days)]

    def closed_days(self) -> dict[date, str]:
        """Return the complete days, each with the id of the reference table built at its end."""
        closed = select(CLOSED_DAYS.c.day, CLOSED_DAYS.c.table_id).order_by(CLOSED_DAYS.c.day)
        return {date.fromisoformat(day): table for day, table in self._query(closed)}

    def positions(self, topic: str) -> dict[int, int]:
        """Return the next offset that is not archived yet, per partition."""
        known = select(POSITIONS.c.partition, POSITIONS.c.next_offset).where(POSITIONS.c.topic == topic)
        return dict(sorted((int(partition), int(offset)) for partition, offset in self._query(known)))

    @property
    def exists(self) -> bool:
        """Whether the index exists. On a server it is assumed to exist."""
        return self._index.exists

    def transactions(self, first: date, last: date) -> pa.Table:
        """Return the transactions of the days, in log order (partition, then log_offset)."""
        return self._read(TRANSACTIONS, first, last)

    def transaction_columns(self, first: date, last: date, columns: Sequence[str]) -> pa.Table:
        """Return some columns of the transactions of the days, and their positions, in log order."""
        return self._read(TRANSACTIONS, first, last, [*LOG_POSITION, *columns])

    def decisions(self, first: date, last: date) -> pa.Table:
        """Return the decisions on transactions of the days, in log order of the transactions."""
        return self._read(DECISIONS, first, last)

    def decision_columns(self, first: date, last: date, columns: Sequence[str]) -> pa.Table:
        """Return some columns of the decisions on transactions of the days, and their positions, in log order."""
        return self._read(DECISIONS, first, last, [*LOG_POSITION, *columns])

    def actions(self) -> pa.Table:
        """Return what was decided about every transaction (`ACTION_COLUMNS`), in log order of the transactions."""
        return self._read(DECISIONS, columns=ACTION_COLUMNS)

    def labels(self, observed_before: datetime) -> pa.Table:
        """Return all labels that were observed before this time, in the order of the label log."""
        table = self.all_labels()
        return table.filter(pc.less(table["observed_at"], pa.scalar(observed_before, table["observed_at"].type)))

    def all_labels(self) -> pa.Table:
        """Return all archived labels, in the order of the label log."""
        return self._read(LABELS)

    def decision_day(self, transaction_id: str) -> date | None:
        """Return the day of the archived decision about this transaction, None if there is none."""
        found = self._query(select(DECISION_INDEX.c.day).where(DECISION_INDEX.c.transaction_id == transaction_id))
        return date.fromisoformat(found[0][0]) if found else None

    def transaction_position(self, transaction_id: str) -> tuple[int, int] | None:
        """Return partition and offset of the first archived transaction of this id, None if there is none."""
        columns = TRANSACTION_INDEX.c
        named = select(columns.partition, columns.log_offset).where(columns.transaction_id == transaction_id)
        found = self._query(named)
        return (int(found[0][0]), int(found[0][1])) if found else None

    def files(self, kind: str, first: date = date.min, last: date = date.max) -> list[tuple[Path, int | None]]:
        """Return the Parquet files of one kind and these days in the manifest, by day, each with its number of rows."""
        of_days = FILES.c.day.between(first.isoformat(), last.isoformat())
        named = (
            select(FILES.c.path, FILES.c.rows).where(FILES.c.kind == kind, of_days).order_by(FILES.c.day, FILES.c.path)
        )
        return [(self._folder / path, int(rows)) for path, rows in self._query(named)]

    def log(self) -> FileLog:
        """Return the archived transactions and decisions, for reading in log order."""
        return FileLog(find_row_groups(self.files(TRANSACTIONS)), find_row_groups(self.files(DECISIONS)))

    def _read(
        self, kind: str, first: date = date.min, last: date = date.max, columns: Sequence[str] | None = None
    ) -> pa.Table:
        schema = SCHEMAS[kind] if columns is None else pa.schema([SCHEMAS[kind].field(name) for name in columns])
        files = self.files(kind, first, last)
        tables = [
            pq.read_table(path, schema=SCHEMAS[kind], columns=schema.names, partitioning=None) for path, _ in files
        ]
        if not tables:
            return schema.empty_table()
        return pa.concat_tables(tables).sort_by([("partition", "ascending"), ("log_offset", "ascending")])

    def _query(self, query: Select[Any]) -> Sequence[Any]:
        if not self._index.exists:
            raise ArchiveUnavailable(f"there is no archive in {self._folder}: the archive service has not run here yet")
        return self._index.query(query)


class FileLog:
    """A log of transactions in files, with the decisions on them. Partitions are read separately.

    `partitions`: the partitions of the log, sorted. `rows`: the number of transactions.
    """

    def __init__(self, transactions: Sequence[RowGroupRange], decisions: Sequence[RowGroupRange] = ()) -> None:
        self._transactions, self._decisions = transactions, decisions
        self.partitions = partitions_of(transactions)
        self.rows = sum(row_group.rows for row_group in transactions)

    def transactions(
        self, partition: int, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.Table]:
        """Yield one partition's transactions by offset: the given columns and the log position."""
        return read_in_log_order(self._transactions, partition, columns, batch_rows=batch_rows)

    def recorded_tables(self, partition: int, *, batch_rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """Yield `log_offset` and `table_id` of one partition's decisions, by the offset of the transaction."""
        return read_in_log_order(self._decisions, partition, ["table_id"], batch_rows=batch_rows)


def index_url_of(folder: Path, settings: Settings) -> Secret:
    """Return the address of the index of the archive in `folder`. Only the archive of `settings` can have one."""
    return settings.index_url if folder.resolve() == settings.archive.resolve() else Secret("")


def open_log(folder: Path, index_url: str = "") -> FileLog:
    """Return the log in `folder`: the files in an archive's manifest, else all Parquet files, without decisions.

    Raises `Misconfigured` if there is neither.
    """
    archive = Archive(folder, index_url)
    if archive.exists:
        return archive.log()
    return FileLog(find_row_groups((path, None) for path in transaction_files(folder)))


def transaction_files(folder: Path, index_url: str = "") -> list[Path]:
    """Return the Parquet files of transactions in `folder`, as `open_log` does.

    Raises `Misconfigured` without any, and for files of others that are no log of transactions.
    """
    archive = Archive(folder, index_url)
    files = [path for path, _ in archive.files(TRANSACTIONS)] if archive.exists else sorted(folder.rglob("*.parquet"))
    if not files:
        raise Misconfigured(f"there are no transactions in {folder}: neither an archive nor Parquet files")
    if not archive.exists:
        require_log_of_transactions(files)
    return files
