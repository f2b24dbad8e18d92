"""How the archive lies on disk: Parquet by kind and event date; index and manifest are `adapters.archive.index`'s.

A Parquet file counts only if the manifest names it; files and positions enter the manifest in one SQL transaction, so a
crash leaves at most an unnamed file behind, which the next start removes. Everything can be rebuilt from the topics.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from cardwatch.features.definitions import FEATURES
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

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
