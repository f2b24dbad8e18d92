"""A training set as Parquet, to the bit: what was assembled by one job is what another one fits."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURES
from cardwatch.label_states import LabelCoverage
from pipelines.steps.fitting import RecentRows
from pipelines.steps.training_set import TrainingSet

_FEATURES: Final = "features"


def rows_to_parquet(rows: TrainingSet) -> bytes:
    """Everything but fingerprint and label coverage, row by row."""
    return _written(
        {
            _FEATURES: _as_lists(rows.features),
            "is_fraud": pa.array(rows.is_fraud),
            "weight": pa.array(rows.weight),
            "declined_by_rules": pa.array(rows.declined_by_rules),
            "amount_minor": pa.array(rows.amount_minor),
            "policy_amount_minor": pa.array(rows.policy_amount_minor),
            "overlay": pa.array(rows.overlay),
            "occurred_at_ms": pa.array(rows.occurred_at_ms),
            "card_id": pa.array(rows.card_ids.tolist(), pa.string()),
            "transaction_id": pa.array(rows.transaction_ids.tolist(), pa.string()),
        }
    )


def rows_from_parquet(content: bytes, fingerprint: str, label_coverage: LabelCoverage) -> TrainingSet:
    """The inverse of `rows_to_parquet`."""
    table = pq.read_table(pa.BufferReader(content))
    return TrainingSet(
        features=_as_matrix(table),
        is_fraud=table["is_fraud"].to_numpy().astype(np.bool_),
        weight=table["weight"].to_numpy().astype(np.float32),
        declined_by_rules=table["declined_by_rules"].to_numpy().astype(np.bool_),
        amount_minor=table["amount_minor"].to_numpy().astype(np.int64),
        policy_amount_minor=table["policy_amount_minor"].to_numpy().astype(np.float64),
        overlay=table["overlay"].to_numpy().astype(np.int8),
        occurred_at_ms=table["occurred_at_ms"].to_numpy().astype(np.int64),
        card_ids=np.array(table["card_id"].to_pylist(), np.object_),
        transaction_ids=np.array(table["transaction_id"].to_pylist(), np.object_),
        fingerprint=fingerprint,
        label_coverage=label_coverage,
    )


def recent_to_parquet(recent: RecentRows) -> bytes:
    """The rows of the drift reference."""
    return _written({_FEATURES: _as_lists(recent.features), "day": pa.array(recent.days)})


def recent_from_parquet(content: bytes) -> RecentRows:
    """The inverse of `recent_to_parquet`."""
    table = pq.read_table(pa.BufferReader(content))
    return RecentRows(features=_as_matrix(table), days=table["day"].to_numpy().astype(np.int64))


def _written(columns: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return bytes(sink.getvalue())


def _as_lists(features: NDArray[np.float32]) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(features).ravel()), len(FEATURES))


def _as_matrix(table: pa.Table) -> NDArray[np.float32]:
    values = pc.list_flatten(table[_FEATURES]).to_numpy().astype(np.float32, copy=False)
    return values.reshape(table.num_rows, len(FEATURES))
