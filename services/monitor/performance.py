"""How good the champion is on what is known by now: its own recorded margins against matured labels."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import average_precision_score

from adapters.archive.reader import fraud_ids
from cardwatch.drift.policy import MeasuredPerformance


def end_of(day: date) -> datetime:
    """The first moment after `day` (UTC): what was observed before it is known at the end of `day`."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def performance(decisions: pa.Table, labels: pa.Table, champion_version: str) -> MeasuredPerformance | None:
    """Average precision of the champion's decisions; None if it made none, or none of them turned out to be fraud.

    Decisions of other versions and of the rules alone are left out. A transaction is fraud if the newest of its
    `labels` says so; without a label it is genuine, so both tables must be mature.
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
