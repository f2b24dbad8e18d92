"""Writing the archive: rows become Parquet files, and files, index rows and positions become visible in one step."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adapters.archive_layout import DECISIONS, INDEX_TABLES, LABELS, SCHEMAS, TRANSACTIONS, index_file
from cardwatch.errors import Misconfigured
from cardwatch.events import Decision, Label, Transaction, to_epoch_ms, utc_day

Row = dict[str, Any]

_INDEXING: Final = {
    TRANSACTIONS: "INSERT OR IGNORE INTO transactions VALUES (?, ?, ?, ?, ?)",
    DECISIONS: "INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?, ?, ?)",
    LABELS: "INSERT OR IGNORE INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)",
}


class ArchiveWriter:
    """The one writer of the archive in `folder`. `bytes`: the size of its Parquet files."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._index = sqlite3.connect(index_file(folder), timeout=30.0)
            self._index.execute("PRAGMA journal_mode = WAL")
            self._index.executescript(INDEX_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise Misconfigured(f"cannot write the archive in {folder}: {error}") from error
        self._folder = folder
        self._remove_unnamed_files()
        self.bytes = sum(path.stat().st_size for path in folder.glob("*/date=*/*.parquet"))

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    def positions(self) -> dict[tuple[str, int], int]:
        """Where reading goes on after a stop, however it came."""
        rows = self._index.execute("SELECT topic, partition, next_offset FROM positions").fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def closed_days(self) -> dict[date, str]:
        """Days that are complete, with the id of the table built at their end."""
        rows = self._index.execute("SELECT day, table_id FROM closed_days").fetchall()
        return {date.fromisoformat(day): table_id for day, table_id in rows}

    def write(self, rows: Mapping[str, Sequence[Row]], positions: Mapping[tuple[str, int], int]) -> None:
        """Archive rows of each kind together with the positions they bring us to: all of it or nothing."""
        named = [
            (self._write_file(kind, day, of_day), kind, day, len(of_day))
            for kind, of_kind in rows.items()
            for day, of_day in _by_day(kind, of_kind).items()
        ]
        with self._index:
            self._index.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", named)
            for kind, of_kind in rows.items():
                self._index.executemany(_INDEXING[kind], [_INDEX_ROW[kind](row) for row in of_kind])
            self._index.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                [(topic, partition, offset) for (topic, partition), offset in positions.items()],
            )

    def close_day(self, day: date, table_id: str) -> None:
        """Record that a day is complete."""
        with self._index:
            self._index.execute("INSERT OR REPLACE INTO closed_days VALUES (?, ?)", (day.isoformat(), table_id))

    def count(self, kind: str, day: date) -> int:
        """Rows of this kind on this day."""
        query = "SELECT COALESCE(SUM(rows), 0) FROM files WHERE kind = ? AND day = ?"
        return int(self._index.execute(query, (kind, day.isoformat())).fetchone()[0])

    def _write_file(self, kind: str, day: str, rows: Sequence[Row]) -> str:
        first = rows[0]
        relative = Path(kind) / f"date={day}" / f"{first['partition']:04d}-{first['log_offset']:012d}.parquet"
        path = self._folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        in_log_order = pa.Table.from_pylist(sorted(rows, key=_place_in_log), schema=SCHEMAS[kind])
        partitions = in_log_order["partition"].to_numpy()
        with pq.ParquetWriter(path, SCHEMAS[kind], compression="zstd") as writer:
            for partition in np.unique(partitions).tolist():  # a row group each: replay reads one partition at a time
                writer.write_table(in_log_order.filter(pa.array(partitions == partition)))
        self.bytes += path.stat().st_size
        return str(relative)

    def _remove_unnamed_files(self) -> None:
        named = {path for (path,) in self._index.execute("SELECT path FROM files")}
        for path in self._folder.glob("*/date=*/*.parquet"):
            if str(path.relative_to(self._folder)) not in named:
                path.unlink()


def _place_in_log(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["partition"], row["log_offset"]


def transaction_row(transaction: Transaction, partition: int, offset: int) -> Row:
    """A transaction as a row of the archive, with its place in the log."""
    return {
        "transaction_id": transaction.transaction_id,
        "card_id": transaction.card_id,
        "merchant_id": transaction.merchant_id,
        "occurred_at": transaction.occurred_at,
        "amount_minor": transaction.amount_minor,
        "currency": transaction.currency,
        "merchant_category": transaction.merchant_category,
        "channel": transaction.channel.value,
        "country": transaction.country,
        "latitude": transaction.latitude,
        "longitude": transaction.longitude,
        "device_id": transaction.device_id,
        "customer_id": transaction.customer_id,
        "previous_outcome": transaction.previous_outcome.value if transaction.previous_outcome else None,
        "partition": partition,
        "log_offset": offset,
    }


def label_row(label: Label, partition: int, offset: int) -> Row:
    """A label as a row of the archive, with its place in the label log."""
    return {
        "transaction_id": label.transaction_id,
        "card_id": label.card_id,
        "merchant_id": label.merchant_id,
        "is_fraud": label.is_fraud,
        "effective_at": label.effective_at,
        "observed_at": label.observed_at,
        "source": label.source.value,
        "partition": partition,
        "log_offset": offset,
    }


def decision_row(decision: Decision) -> Row:
    """A decision as a row of the archive; partition and log_offset are its transaction's place in the log."""
    transaction = decision.transaction
    row = {name: getattr(decision, name) for name in _AS_IT_IS}
    return row | {
        "transaction_id": transaction.transaction_id,
        "card_id": transaction.card_id,
        "merchant_id": transaction.merchant_id,
        "occurred_at": transaction.occurred_at,
        "amount_minor": transaction.amount_minor,
        "merchant_category": transaction.merchant_category,
        "channel": transaction.channel.value,
        "country": transaction.country,
        "log_offset": decision.offset,
        "action": decision.action.value,
    }


_AS_IT_IS: Final = (
    "partition",
    "sequence",
    "features",
    "feature_schema",
    "table_id",
    "model_version",
    "model_digest",
    "policy_version",
    "margin",
    "probability",
    "reasons",
    "degraded",
    "degraded_reason",
    "shadow_version",
    "shadow_margin",
    "shadow_probability",
    "decided_at",
    "latency_ms",
)

_DAY_OF: Final = {TRANSACTIONS: "occurred_at", DECISIONS: "occurred_at", LABELS: "effective_at"}
_INDEX_ROW: Final[dict[str, Callable[[Row], tuple[Any, ...]]]] = {
    TRANSACTIONS: lambda row: (
        row["transaction_id"],
        row["card_id"],
        to_epoch_ms(row["occurred_at"]),
        row["partition"],
        row["log_offset"],
    ),
    DECISIONS: lambda row: (
        row["transaction_id"],
        utc_day(row["occurred_at"]).isoformat(),
        row["action"],
        row["probability"],
        row["model_version"],
        row["degraded"],
    ),
    LABELS: lambda row: (
        row["transaction_id"],
        row["is_fraud"],
        to_epoch_ms(row["effective_at"]),
        to_epoch_ms(row["observed_at"]),
        row["source"],
        row["partition"],
        row["log_offset"],
    ),
}


def _by_day(kind: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    days: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        days[utc_day(row[_DAY_OF[kind]]).isoformat()].append(row)
    return dict(days)
