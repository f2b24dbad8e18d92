"""Estimates from decided transactions of which some have no outcome.

`weight` is how many transactions a row stands for, see `cardwatch.label_states.control_weights`: rows without an
outcome have 0. Weighted sums are then unbiased for the sums over all transactions that control rows can stand for
(Horvitz and Thompson, JASA 1952), and their ratios are consistent. No weight helps where an action leaves no control
row: see `cardwatch.recall_bounds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.events import Action
from cardwatch.label_states import Flags
from cardwatch.promotion.score_quality import average_precision
from models.evaluation import row_costs_minor


def weighted_average_precision(
    scores: NDArray[np.floating[Any]], is_fraud: Flags, weight: NDArray[np.floating[Any]]
) -> float | None:
    """Return the average precision of n scores in 0..1, None without a fraud of positive weight.

    Every row counts as many times as its weight says.

    >>> weighted_average_precision(np.array([0.9, 0.8]), np.array([False, True]), np.array([1.0, 3.0]))
    0.75
    """
    counts = weight > 0
    return average_precision(scores[counts], is_fraud[counts], weight[counts].astype(np.float64))


def weighted_cost_minor(
    policy: DecisionPolicy,
    actions: Sequence[Action],
    is_fraud: Flags,
    amount_minor: NDArray[np.integer[Any]],
    channels: NDArray[np.int64],
    weight: NDArray[np.floating[Any]],
) -> float:
    """Return the estimated cost of these actions in minor units: a weighted sum over n rows.

    `actions` are those of the policy that is judged, which need not be those that were taken. `channels` as
    `cardwatch.decision.cost_policy.channels_of` returns them.
    """
    return float(
        row_costs_minor(policy, actions, is_fraud, amount_minor, channels).incurred @ weight.astype(np.float64)
    )


def measurable_performance(
    margins: NDArray[np.floating[Any]],
    is_fraud: Flags,
    weight: NDArray[np.floating[Any]],
    is_measured: Flags,
) -> MeasuredPerformance | None:
    """Return the performance that monitoring would measure on these n rows, None without a fraud among them.

    `is_measured`: bool [n], see `cardwatch.label_states.is_measurable`. This is what the performance of a model in
    production is compared with: the average precision over all rows is higher, because a model that decides alone
    declines the frauds of which it is most certain, and nobody charges those back.
    """
    counts = is_measured & (weight > 0)
    precision = weighted_average_precision(margins[counts], is_fraud[counts], weight[counts])
    if precision is None:
        return None
    return MeasuredPerformance(average_precision=precision, frauds=int(is_fraud[counts].sum()))


def count_missed_frauds(
    would_approve: Flags, is_fraud: Flags, weight: NDArray[np.floating[Any]], *, transactions: int
) -> MissedFrauds | None:
    """Return how much fraud a model approves on the n judged rows, None if these are no days with `transactions`.

    `would_approve`: bool [n]. `transactions` counts all of the judged days, also those that are no rows because their
    outcome is censored: a rate per decision must not rise because more is declined. Fraud that another model declined,
    and that nobody reported, is missing without a control share.
    """
    if not transactions:
        return None
    return MissedFrauds(frauds=float(weight[would_approve & is_fraud].sum()), decisions=transactions)
