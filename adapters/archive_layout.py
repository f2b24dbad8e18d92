"""How the archive lies on disk: Parquet by kind and event date, and one SQLite file as index and manifest.

A Parquet file counts only if the manifest names it; files and positions enter the manifest in one SQL transaction, so a
crash leaves at most an unnamed file behind, which the next start removes. Everything can be rebuilt from the topics.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa

from cardwatch.features.table import FEATURES

TRANSACTIONS: Final = "transactions"
LABELS: Final = "labels"
DECISIONS: Final = "decisions"

UTC_MS: Final = pa.timestamp("ms", tz="UTC")
_LOG_PLACE: Final[list[tuple[str, pa.DataType]]] = [("partition", pa.int32()), ("log_offset", pa.int64())]

_COLUMNS: Final[dict[str, list[tuple[str, pa.DataType]]]] = {
    TRANSACTIONS: [
        ("transaction_id", pa.string()),
        ("card_id", pa.string()),
        ("merchant_id", pa.string()),
        ("occurred_at", UTC_MS),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
        ("merchant_category", pa.string()),
        ("channel", pa.string()),
        ("country", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("device_id", pa.string()),
        ("customer_id", pa.string()),
        ("previous_outcome", pa.string()),
        *_LOG_PLACE,
    ],
    LABELS: [
        ("transaction_id", pa.string()),
        ("card_id", pa.string()),
        ("merchant_id", pa.string()),
        ("is_fraud", pa.bool_()),
        ("effective_at", UTC_MS),
        ("observed_at", UTC_MS),
        ("source", pa.string()),
        *_LOG_PLACE,
    ],
    DECISIONS: [
        ("transaction_id", pa.string()),
        ("card_id", pa.string()),
        ("merchant_id", pa.string()),
        ("occurred_at", UTC_MS),
        ("amount_minor", pa.int64()),
        ("merchant_category", pa.string()),
        ("channel", pa.string()),
        ("country", pa.string()),
        *_LOG_PLACE,
        ("sequence", pa.int64()),
        ("features", pa.list_(pa.float32(), len(FEATURES))),
        ("feature_schema", pa.string()),
        ("table_id", pa.string()),
        ("model_version", pa.string()),
        ("model_digest", pa.string()),
        ("policy_version", pa.string()),
        ("margin", pa.float32()),
        ("probability", pa.float64()),
        ("action", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("degraded", pa.bool_()),
        ("degraded_reason", pa.string()),
        ("shadow_version", pa.string()),
        ("shadow_margin", pa.float32()),
        ("shadow_probability", pa.float64()),
        ("decided_at", UTC_MS),
        ("latency_ms", pa.float64()),
    ],
}

SCHEMAS: Final = {kind: pa.schema(columns) for kind, columns in _COLUMNS.items()}

INDEX_TABLES: Final = """
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition));
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, kind TEXT NOT NULL, day TEXT NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS closed_days (
    day TEXT PRIMARY KEY, table_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS transactions (
    transaction_id TEXT PRIMARY KEY, card_id TEXT NOT NULL, occurred_at_ms INTEGER NOT NULL,
    partition INTEGER NOT NULL, log_offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS transactions_by_card ON transactions (card_id, occurred_at_ms);
CREATE TABLE IF NOT EXISTS decisions (
    transaction_id TEXT PRIMARY KEY, day TEXT NOT NULL, action TEXT NOT NULL, probability REAL,
    model_version TEXT, degraded INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (
    transaction_id TEXT NOT NULL, is_fraud INTEGER NOT NULL, effective_at_ms INTEGER NOT NULL,
    observed_at_ms INTEGER NOT NULL, source TEXT NOT NULL, partition INTEGER NOT NULL, log_offset INTEGER NOT NULL,
    PRIMARY KEY (partition, log_offset)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labels_by_transaction ON labels (transaction_id);
"""


def index_file(folder: Path) -> Path:
    """The SQLite file of the archive in `folder`."""
    return folder / "index.sqlite"
