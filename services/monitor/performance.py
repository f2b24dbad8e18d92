"""Performance of the champion in production: its recorded margins against mature labels."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
from sklearn.metrics import average_precision_score

from adapters.archive.outcome_states import monitored_weights_of, states_of
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.label_states import LabelState
from services.monitor.scores import scored_by


def measure_performance(
    decisions: pa.Table,
    labels: pa.Table,
    champion_version: str,
    *,
    largest_control_minor: float | None = None,
) -> MeasuredPerformance | None:
    """Return the average precision of the champion's decisions, None if none of them is a known fraud.

    Decisions of other versions and degraded ones are left out. Both tables must be mature: a transaction that was not
    declined and has no label counts as genuine. Declined ones are left out, whether they have a label or not, and with
    a control share its rows stand for those up to `largest_control_minor`: see `monitored_weights`. So the number does
    not change with the share of declined payments for which customers answer, and compares with
    `models.selection_estimates.measurable_performance` of the model when it was judged.
    """
    own = scored_by(decisions, champion_version)
    states = states_of(own, labels, date.max, 0)
    weights = monitored_weights_of(own, states, largest_control_minor=largest_control_minor)
    counts = weights > 0
    is_fraud = states[counts] == LabelState.KNOWN_FRAUD
    if not is_fraud.any():
        return None
    precision = average_precision_score(is_fraud, own["margin"].to_numpy()[counts], sample_weight=weights[counts])
    return MeasuredPerformance(average_precision=float(precision), frauds=int(is_fraud.sum()))
