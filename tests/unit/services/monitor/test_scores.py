"""What scores say before labels: on tables of decisions as the archive returns them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from adapters.archive.layout import SCHEMAS
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.features.definitions import FEATURES, column
from cardwatch.topics import DECISIONS
from monitoring.feature_drift import DriftReference
from services.monitor.scores import ActionShares, estimated_average_precision

ONLINE = column("is_ecommerce")
AMOUNT = column("amount")
ROWS = 4_000


def features_of(rows: int) -> np.ndarray:
    features = np.zeros((rows, len(FEATURES)), np.float32)
    features[:, ONLINE] = 1.0
    features[:, AMOUNT] = 100.0  # 100 EUR: 10,000 minor units
    return features


def decisions(
    probabilities: list[float], *, version: str = "1", actions: list[str] | None = None, scored: bool = True
) -> pa.Table:
    count = len(probabilities)
    columns = {
        "model_version": [version if scored else None] * count,
        "margin": pa.array([1.0 if scored else None] * count, pa.float32()),
        "probability": pa.array(probabilities if scored else [None] * count, pa.float64()),
        "action": actions or ["approve"] * count,
        "amount_minor": [10_000] * count,
        "channel": ["ecommerce"] * count,
    }
    schema = pa.schema([field for field in SCHEMAS[DECISIONS] if field.name in columns])
    return pa.table(columns).select(schema.names).cast(schema)


def reference(declined_share: float) -> DriftReference:
    probabilities = np.where(np.arange(ROWS) < declined_share * ROWS, 0.99, 0.0001)
    return DriftReference(
        features=features_of(ROWS),
        margins=np.zeros(ROWS, np.float32),
        days=np.zeros(ROWS, np.int64),
        probabilities=probabilities,
    )


def test_the_estimate_leaves_out_declined_payments_other_versions_and_degraded_decisions() -> None:
    own = decisions([0.5, 0.0, 0.9], actions=["challenge", "approve", "decline"])
    # Without the declined row there is one possible fraud, on top.
    assert estimated_average_precision(own, "1") == 1.0
    both = pa.concat_tables([own, decisions([0.9], version="2"), decisions([0.7], scored=False)])
    assert estimated_average_precision(both, "1") == 1.0
    assert estimated_average_precision(own, "3") is None


def test_many_more_declines_are_a_change_whatever_was_decided_in_the_end() -> None:
    watched = ActionShares(reference(0.01), DecisionPolicy())
    newest = decisions([0.99] * 200 + [0.0001] * (ROWS - 200))  # approved by a control share, for example
    [(action, change)] = watched.changes(newest, "1").items()
    assert action == "decline"
    assert (change.reference, change.current) == (pytest.approx(0.01), pytest.approx(0.05))
    assert watched.changes(decisions([0.99] * 40 + [0.0001] * (ROWS - 40)), "1") == {}


def test_a_reference_without_probabilities_finds_no_change() -> None:
    old = DriftReference(features=features_of(ROWS), margins=np.zeros(ROWS, np.float32), days=np.zeros(ROWS, np.int64))
    assert ActionShares(old, DecisionPolicy()).changes(decisions([0.99] * ROWS), "1") == {}
