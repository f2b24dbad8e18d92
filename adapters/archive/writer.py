"""Writing the archive. Parquet files, index rows and positions become visible in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from itertools import chain, count
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, structs
from sqlalchemy import Select, Table, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from adapters.archive import index
from adapters.archive.alerts import alert_rows, archived_alert_rows
from adapters.archive.index import ALERTS, BACKFILLS, CLOSED_DAYS, FILES, POSITIONS, ArchiveIndex
from adapters.archive.layout import SCHEMAS
from adapters.runtime.closeable import Closeable, closed_on_error
from cardwatch.errors import ArchiveUnavailable, Misconfigured
from cardwatch.events import Decision, Label, Transaction, to_epoch_ms, utc_day
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

Row = dict[str, Any]

_INDEXED: Final = {TRANSACTIONS: index.TRANSACTIONS, DECISIONS: index.DECISIONS, LABELS: index.LABELS}
_WRITERS_LOCK: Final = 0x43_41_52_44
"""Key of the advisory lock that every writer takes. The number is arbitrary but fixed."""


class ArchiveWriter(Closeable):
    """The only writer of the archive in `folder`. Its index is at `index_url`, or in the folder too.

    `bytes` is the size of its Parquet files. Every call raises `ArchiveUnavailable` if the index does not answer, and
    after the connection was lost. A new writer then continues from the stored positions. The constructor raises it too
    while another writer uses the same index on a server, and `Misconfigured` if the archive cannot be written.
    """

    def __init__(self, folder: Path, index_url: str = "") -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"cannot write the archive in {folder}: {error}") from error
        self._folder = folder
        self._index = ArchiveIndex(folder, index_url, readonly=False)
        self._connection = self._index.connect()
        with closed_on_error(self), self._index.translated_errors():
            self._require_single_writer()
            index.META.create_all(self._connection)
            self._connection.commit()
            self._remove_unnamed_files()
        self.bytes = sum(path.stat().st_size for path in folder.glob("*/date=*/*.parquet"))

    def close(self) -> None:
        """Release the lock and close the index. A server would release the lock only some time after a disconnect."""
        if self._index.is_shared and not (self._connection.closed or self._connection.invalidated):
            with suppress(DBAPIError):
                self._connection.rollback()
                self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
                self._connection.commit()
        self._connection.close()

    def positions(self) -> dict[tuple[str, int], int]:
        """Return the next offset to read, per topic and partition."""
        rows = self._query(select(POSITIONS.c.topic, POSITIONS.c.partition, POSITIONS.c.next_offset))
        return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}

    def closed_days(self) -> dict[date, str]:
        """Return the complete days, each with the id of the reference table built at its end."""
        rows = self._query(select(CLOSED_DAYS.c.day, CLOSED_DAYS.c.table_id))
        return {date.fromisoformat(day): table_id for day, table_id in rows}

    def write(self, rows: Mapping[str, Sequence[Row]], positions: Mapping[tuple[str, int], int]) -> None:
        """Archive rows of each kind and the positions after them, in one transaction."""
        named = [
            {"path": self._write_file(kind, day, of_day), "kind": kind, "day": day, "rows": len(of_day)}
            for kind, of_kind in rows.items()
            for day, of_day in _by_day(kind, of_kind).items()
        ]
        reached = [
            {"topic": topic, "partition": partition, "next_offset": offset}
            for (topic, partition), offset in positions.items()
        ]
        with self._index.transaction(self._connection):
            self._insert(FILES, named)
            for kind, of_kind in rows.items():
                self._insert(_INDEXED[kind], [_INDEX_ROW[kind](row) for row in of_kind], once=True)
            self._insert(ALERTS, alert_rows(rows.get(DECISIONS, ())), once=True)
            self._insert(POSITIONS, reached, replaces="next_offset")

    def close_day(self, day: date, table_id: str) -> None:
        """Record that a day is complete."""
        with self._index.transaction(self._connection):
            self._insert(CLOSED_DAYS, [{"day": day.isoformat(), "table_id": table_id}], replaces="table_id")

    def replace_table_ids(self, table_ids: Mapping[date, str]) -> None:
        """Record the ids of tables that were built again for closed days, all in one transaction."""
        rows = [{"day": day.isoformat(), "table_id": table_id} for day, table_id in table_ids.items()]
        with self._index.transaction(self._connection):
            self._insert(CLOSED_DAYS, rows, replaces="table_id")

    def fill_alerts(self) -> int | None:
        """Index the alerts in files that a former version has written, and return their number; None if it was done.

        Each file is one transaction, so that people who work on cases do not wait for all of them. An interrupted call
        can be repeated.
        """
        if self._query(select(BACKFILLS.c.name).where(BACKFILLS.c.name == ALERTS.name)):
            return None
        transactions: defaultdict[str, list[Path]] = defaultdict(list)
        decisions = []
        for path, kind, day in self._query(select(FILES.c.path, FILES.c.kind, FILES.c.day).order_by(FILES.c.path)):
            if kind == DECISIONS:
                decisions.append(self._folder / path)
            elif kind == TRANSACTIONS:
                transactions[day].append(self._folder / path)
        number = 0
        for rows in archived_alert_rows(decisions, transactions):
            with self._index.transaction(self._connection):
                self._insert(ALERTS, rows, once=True)
            number += len(rows)
        with self._index.transaction(self._connection):
            self._insert(BACKFILLS, [{"name": ALERTS.name}], once=True)
        return number

    def count(self, kind: str, day: date) -> int:
        """Return the number of rows of this kind on this day."""
        rows = func.coalesce(func.sum(FILES.c.rows), 0)
        return int(self._query(select(rows).where(FILES.c.kind == kind, FILES.c.day == day.isoformat()))[0][0])

    def _query(self, query: Select[Any]) -> Sequence[Any]:
        with self._index.transaction(self._connection):
            return self._connection.execute(query).all()

    def _insert(
        self, table: Table, rows: Sequence[Mapping[str, Any]], *, once: bool = False, replaces: str | None = None
    ) -> None:
        """Insert rows. For existing keys, `once` keeps the old row, and `replaces` names a column to update."""
        if not rows:
            return
        insert = (postgresql if self._index.is_shared else sqlite).insert(table)
        if once:
            insert = insert.on_conflict_do_nothing()
        if replaces is not None:
            keys = list(table.primary_key.columns)
            insert = insert.on_conflict_do_update(index_elements=keys, set_={replaces: insert.excluded[replaces]})
        self._connection.execute(insert, list(rows))

    def _require_single_writer(self) -> None:
        """Take a lock until the connection is closed, because two writers would archive all records twice."""
        if not self._index.is_shared:
            return
        free = self._connection.execute(text(f"SELECT pg_try_advisory_lock({_WRITERS_LOCK})")).scalar()
        self._connection.commit()
        if not free:
            raise ArchiveUnavailable(f"another writer uses the archive in {self._folder}")

    def _write_file(self, kind: str, day: str, rows: Sequence[Row]) -> str:
        first = rows[0]
        path = self._unused_path(Path(kind) / f"date={day}" / f"{first['partition']:04d}-{first['log_offset']:012d}")
        path.parent.mkdir(parents=True, exist_ok=True)
        ordered = sorted(rows, key=itemgetter("partition", "log_offset"))
        in_log_order = pa.Table.from_pylist(ordered, schema=SCHEMAS[kind])
        partitions = in_log_order["partition"].to_numpy()
        with pq.ParquetWriter(path, SCHEMAS[kind], compression="zstd") as writer:
            for partition in np.unique(partitions).tolist():  # one row group each: replay reads by partition
                writer.write_table(in_log_order.filter(pa.array(partitions == partition)))
        self.bytes += path.stat().st_size
        return str(path.relative_to(self._folder))

    def _unused_path(self, stem: Path) -> Path:
        """Return a path that no file has: a foreign record may repeat a decision, and with it the position."""
        numbered = (self._folder / f"{stem}-{number}.parquet" for number in count(2))
        return next(path for path in chain([self._folder / f"{stem}.parquet"], numbered) if not path.exists())

    def _remove_unnamed_files(self) -> None:
        named = {path for (path,) in self._query(select(FILES.c.path))}
        for path in self._folder.glob("*/date=*/*.parquet"):
            if str(path.relative_to(self._folder)) not in named:
                path.unlink()


def transaction_row(transaction: Transaction, partition: int, offset: int) -> Row:
    """Return a transaction as a row of the archive, with its log position."""
    outcome = transaction.previous_outcome
    return structs.asdict(transaction) | {
        "channel": transaction.channel.value,
        "previous_outcome": outcome.value if outcome else None,
        "partition": partition,
        "log_offset": offset,
    }


def label_row(label: Label, partition: int, offset: int) -> Row:
    """Return a label as a row of the archive, with its position in the label log."""
    return structs.asdict(label) | {"source": label.source.value, "partition": partition, "log_offset": offset}


def decision_row(decision: Decision) -> Row:
    """Return a decision as a row of the archive. partition and log_offset are the log position of its transaction."""
    transaction = decision.transaction
    row = {name: getattr(decision, name) for name in _DECISION_COLUMNS}
    row |= {name: getattr(transaction, name) for name in _TRANSACTION_COLUMNS}
    return row | {
        "action": decision.action.value,
        "channel": transaction.channel.value,
        "log_offset": decision.offset,
        "currency": transaction.currency,  # for the index: the files of decisions have no such column
    }


def _columns_of(record: type[Struct]) -> tuple[str, ...]:
    """Return the columns of archived decisions that are fields of `record`."""
    return tuple(name for name in SCHEMAS[DECISIONS].names if name in record.__struct_fields__)


_DECISION_COLUMNS: Final = _columns_of(Decision)
_TRANSACTION_COLUMNS: Final = _columns_of(Transaction)

_DAY_OF: Final = {TRANSACTIONS: "occurred_at", DECISIONS: "occurred_at", LABELS: "effective_at"}
_INDEX_ROW: Final[dict[str, Callable[[Row], Row]]] = {
    TRANSACTIONS: lambda row: {
        "transaction_id": row["transaction_id"],
        "card_id": row["card_id"],
        "occurred_at_ms": to_epoch_ms(row["occurred_at"]),
        "partition": row["partition"],
        "log_offset": row["log_offset"],
    },
    DECISIONS: lambda row: {
        "transaction_id": row["transaction_id"],
        "day": utc_day(row["occurred_at"]).isoformat(),
        "action": row["action"],
        "probability": row["probability"],
        "model_version": row["model_version"],
        "degraded": int(row["degraded"]),
    },
    LABELS: lambda row: {
        "transaction_id": row["transaction_id"],
        "is_fraud": int(row["is_fraud"]),
        "effective_at_ms": to_epoch_ms(row["effective_at"]),
        "observed_at_ms": to_epoch_ms(row["observed_at"]),
        "source": row["source"],
        "partition": row["partition"],
        "log_offset": row["log_offset"],
    },
}


def _by_day(kind: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    days: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        days[utc_day(row[_DAY_OF[kind]]).isoformat()].append(row)
    return dict(days)
