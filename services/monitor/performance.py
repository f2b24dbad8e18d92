"""Performance of the champion in production: its recorded margins against mature labels."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters.archive.outcome_states import control_propensities, monitored_weights_of, states_of
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.events import Action
from cardwatch.label_states import LabelState, States
from cardwatch.progress import RecallBounds
from cardwatch.promotion.score_quality import average_precision
from cardwatch.recall_bounds import recall_bounds
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
    precision = average_precision(own["margin"].to_numpy()[counts], is_fraud, weights[counts].astype(np.float64))
    if precision is None:
        return None
    return MeasuredPerformance(average_precision=precision, frauds=int(is_fraud.sum()))


def count_missed_frauds(decisions: pa.Table, labels: pa.Table, champion_version: str) -> MissedFrauds | None:
    """Return how many of the champion's decisions were approved frauds, None without a decision of its own.

    Which decisions are its own, and what their labels say, is as in `measure_performance`. Control rows are decisions,
    but no missed frauds: the model would have declined them.
    """
    own = scored_by(decisions, champion_version)
    if not own.num_rows:
        return None
    is_approved = pc.equal(own["action"], pa.scalar(Action.APPROVE.value)).to_numpy(zero_copy_only=False)
    is_fraud = states_of(own, labels, date.max, 0) == LabelState.KNOWN_FRAUD
    is_missed = is_fraud & is_approved.astype(np.bool_) & np.isnan(control_propensities(own))
    return MissedFrauds(frauds=int(is_missed.sum()), decisions=own.num_rows)


def bound_recall(decisions: pa.Table, states: States, policy: DecisionPolicy) -> RecallBounds | None:
    """Return bounds of the share of fraud that these decisions stopped, by the label states of their transactions.

    All decisions count, also those of other versions and of rules. Above the largest amount of a control share, and
    without one, nothing better than bounds is known of what was declined. None if there may have been no fraud.
    """
    stops = {Action.APPROVE: 0.0, Action.CHALLENGE: policy.challenge_stops_fraud, Action.DECLINE: 1.0}
    places = pc.index_in(decisions["action"], value_set=pa.array([action.value for action in stops]))
    bounds = recall_bounds(states, np.array(list(stops.values()))[places.to_numpy()])
    return None if bounds is None else RecallBounds(low=bounds.low, high=bounds.high)
