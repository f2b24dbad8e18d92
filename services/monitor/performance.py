"""Performance of the champion in production: its recorded margins against mature labels."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import average_precision_score

from adapters.archive.reader import fraud_ids
from cardwatch.drift.performance import MeasuredPerformance


def measure_performance(decisions: pa.Table, labels: pa.Table, champion_version: str) -> MeasuredPerformance | None:
    """Return the average precision of the champion's decisions, None if none of them is a known fraud.

    Decisions of other versions and degraded ones are left out. A transaction is fraud if the newest of its `labels`
    says so; without a label it is genuine, so both tables must be mature.
    """
    own = decisions.filter(
        pc.and_(pc.equal(decisions["model_version"], pa.scalar(champion_version)), decisions["margin"].is_valid())
    )
    is_fraud = pc.is_in(own["transaction_id"], value_set=fraud_ids(labels)).to_numpy()
    if not is_fraud.any():
        return None
    return MeasuredPerformance(
        average_precision=float(average_precision_score(is_fraud, own["margin"].to_numpy())),
        frauds=int(is_fraud.sum()),
    )
