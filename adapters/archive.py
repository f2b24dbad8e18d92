"""Reading the archive: what monitor, training and reports ask of it. Safe while the archive service writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adapters.archive_layout import DECISIONS, LABELS, SCHEMAS, TRANSACTIONS, index_file
from cardwatch.errors import CardwatchError


class Archive:
    """The archive in `folder`. Days are event dates in UTC, ranges include both ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def days(self) -> list[date]:
        """The days that hold transactions, in order."""
        return [
            date.fromisoformat(day)
            for (day,) in self._ask("SELECT DISTINCT day FROM files WHERE kind = ? ORDER BY 1", TRANSACTIONS)
        ]

    def closed_days(self) -> dict[date, str]:
        """The days that are complete, each with the id of the reference table built at its end."""
        return {
            date.fromisoformat(day): table
            for day, table in self._ask("SELECT day, table_id FROM closed_days ORDER BY 1")
        }

    def positions(self, topic: str) -> dict[int, int]:
        """Per partition the next offset that the archive does not hold yet."""
        rows = self._ask("SELECT partition, next_offset FROM positions WHERE topic = ? ORDER BY 1", topic)
        return {int(partition): int(offset) for partition, offset in rows}

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

    def _read(self, kind: str, first: date, last: date) -> pa.Table:
        named = self._ask(
            "SELECT path FROM files WHERE kind = ? AND day BETWEEN ? AND ? ORDER BY path",
            kind,
            first.isoformat(),
            last.isoformat(),
        )
        tables = [pq.read_table(self._folder / path, schema=SCHEMAS[kind], partitioning=None) for (path,) in named]
        if not tables:
            return SCHEMAS[kind].empty_table()
        return pa.concat_tables(tables).sort_by([("partition", "ascending"), ("log_offset", "ascending")])

    def _ask(self, query: str, *values: object) -> list[tuple[str, ...]]:
        with self._index() as index:
            return index.execute(query, values).fetchall()

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        path = index_file(self._folder)
        if not path.exists():
            raise CardwatchError(f"there is no archive in {self._folder}: the archive service has not run here yet")
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0)) as connection:
            yield connection


def fraud_ids(labels: pa.Table) -> pa.Array[Any]:
    """Ids of the transactions that the newest of their labels calls fraud."""
    newest_last = labels.sort_by(
        [("observed_at", "ascending"), ("partition", "ascending"), ("log_offset", "ascending")]
    )
    verdicts = dict(zip(newest_last["transaction_id"].to_pylist(), newest_last["is_fraud"].to_pylist(), strict=True))
    return pa.array([transaction for transaction, is_fraud in verdicts.items() if is_fraud], pa.string())
