"""Layout of the archive on disk: Parquet files by kind and event date. `adapters.archive.index` is index and manifest.

Only files in the manifest are part of the archive. Files and positions enter the manifest in one SQL transaction, so
that a crash leaves at most an unlisted file, which the next start removes. The topics suffice to rebuild the archive.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

UTC_MS: Final = pa.timestamp("ms", tz="UTC")
_LOG_POSITION: Final[list[tuple[str, pa.DataType]]] = [("partition", pa.int32()), ("log_offset", pa.int64())]

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
        ("card_range", pa.string()),
        *_LOG_POSITION,
    ],
    LABELS: [
        ("transaction_id", pa.string()),
        ("card_id", pa.string()),
        ("merchant_id", pa.string()),
        ("is_fraud", pa.bool_()),
        ("effective_at", UTC_MS),
        ("observed_at", UTC_MS),
        ("source", pa.string()),
        *_LOG_POSITION,
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
        *_LOG_POSITION,
        ("sequence", pa.int64()),
        ("features", pa.list_(pa.float32())),  # of any length: decisions of former feature schemas stay readable
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
        ("canary_version", pa.string()),  # None in files of before: there were no canaries
        ("canary_share", pa.float64()),
        ("control_propensity", pa.float64()),  # None in files of before: they had no control share
        ("decided_at", UTC_MS),
        ("latency_ms", pa.float64()),
    ],
}

SCHEMAS: Final = {kind: pa.schema(columns) for kind, columns in _COLUMNS.items()}
