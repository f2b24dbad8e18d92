"""Performance of the champion in production: its recorded margins against mature labels."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import average_precision_score

from adapters.archive.outcome_states import states_of, weights_of
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.label_states import LabelState


def measure_performance(
    decisions: pa.Table,
    labels: pa.Table,
    champion_version: str,
    *,
    largest_control_minor: float | None = None,
) -> MeasuredPerformance | None:
    """Return the average precision of the champion's decisions, None if none of them is a known fraud.

    Decisions of other versions and degraded ones are left out. Both tables must be mature: a transaction that was not
    declined and has no label counts as genuine. A declined one without a label is censored and left out. So this is
    the average precision on the rows whose outcome is observed, and with a control share (`largest_control_minor`, see
    `control_weights`) an estimate for all rows up to its largest amount.
    """
    own = decisions.filter(
        pc.and_(pc.equal(decisions["model_version"], pa.scalar(champion_version)), decisions["margin"].is_valid())
    )
    states = states_of(own, labels, date.max, 0)
    weights = weights_of(own, states, largest_control_minor=largest_control_minor)
    counts = weights > 0
    is_fraud = states[counts] == LabelState.KNOWN_FRAUD
    if not is_fraud.any():
        return None
    precision = average_precision_score(is_fraud, own["margin"].to_numpy()[counts], sample_weight=weights[counts])
    return MeasuredPerformance(average_precision=float(precision), frauds=int(is_fraud.sum()))
