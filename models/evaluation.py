"""Metrics of fraud scores on labelled rows.

A metric that the rows cannot give (no fraud, or no genuine row) is None; it is not an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy, incurred_cost_minor
from cardwatch.events import Action
from cardwatch.promotion.score_quality import average_precision, roc_auc

CARDS_A_DAY: Final = 100
"""Cards that investigators can check in a day, as in the Fraud Detection Handbook."""


class Evaluation(Struct, frozen=True, kw_only=True):
    """Metrics of a model on labelled rows. Ratios lie in 0..1 and higher is better, except for `expected_cost`.

    `recall_at_fpr_*` is the recall at a false-positive rate of at most 0.1 % or 1 %. `card_precision_at_100` is
    `card_precision` with 100 cards a day. `expected_cost` is `relative_cost`; lower is better.
    """

    rows: int
    frauds: int
    roc_auc: float | None
    average_precision: float | None
    recall_at_fpr_0_1_percent: float | None
    recall_at_fpr_1_percent: float | None
    card_precision_at_100: float | None
    expected_cost: float | None


def evaluate(  # noqa: PLR0913 (columns of the same rows, all by name)
    scores: NDArray[np.floating[Any]],
    is_fraud: NDArray[np.bool_],
    *,
    amount_minor: NDArray[np.integer[Any]],
    card_ids: ArrayLike,
    days: ArrayLike,
    probabilities: NDArray[np.float64] | None = None,
    channels: NDArray[np.int64] | None = None,
    actions: Sequence[Action] | None = None,
    policy: DecisionPolicy | None = None,
) -> Evaluation:
    """Return the metrics of `scores` (margins or probabilities, higher is riskier). All arrays have shape [n].

    `amount_minor` is in minor units, `days` are days since 1970. `expected_cost` is that of `actions`, by default those
    of the policy for calibrated `probabilities`; without either it is None. It needs `channels`, as
    `cardwatch.decision.cost_policy.channels_of` returns them.
    """
    if channels is None and not (actions is None and probabilities is None):
        raise ValueError("the costs of decisions depend on the channels: give them with probabilities and actions")
    policy = policy or DecisionPolicy()
    each_once = np.ones(len(is_fraud))
    cost = None
    if channels is not None:
        if actions is None and probabilities is not None:
            actions = policy.decide(probabilities, amount_minor.astype(np.float64), channels)
        cost = None if actions is None else relative_cost_of(actions, is_fraud, amount_minor, channels, policy)
    return Evaluation(
        rows=len(is_fraud),
        frauds=int(is_fraud.sum()),
        roc_auc=roc_auc(scores, is_fraud, each_once),
        average_precision=average_precision(scores, is_fraud, each_once),
        recall_at_fpr_0_1_percent=recall_at_one_false_positive_per(1_000, scores, is_fraud),
        recall_at_fpr_1_percent=recall_at_one_false_positive_per(100, scores, is_fraud),
        card_precision_at_100=card_precision(scores, is_fraud, card_ids, days),
        expected_cost=cost,
    )


def recall_at_one_false_positive_per(
    genuine_rows: int, scores: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_]
) -> float | None:
    """Return the recall at the threshold with at most one false positive per `genuine_rows` genuine rows, in 0..1.

    Fraud with the same score as the next genuine row is not counted, because a lower threshold would alert on both.
    """
    if not is_fraud.any() or is_fraud.all():
        return None
    return float(np.mean(scores[is_fraud] > threshold_at_one_false_positive_per(genuine_rows, scores, is_fraud)))


def threshold_at_one_false_positive_per(
    genuine_rows: int, scores: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_]
) -> float:
    """Return the score above which there is at most one false positive per `genuine_rows` genuine rows.

    Raises `IndexError` without a genuine row.
    """
    genuine = np.sort(scores[~is_fraud])[::-1]
    return float(genuine[len(genuine) // genuine_rows])


def card_precision(
    scores: NDArray[np.floating[Any]],
    is_fraud: NDArray[np.bool_],
    card_ids: ArrayLike,
    days: ArrayLike,
    *,
    cards_a_day: int = CARDS_A_DAY,
) -> float | None:
    """Return Card Precision top-k (Fraud Detection Handbook, chapter 4.5), k = `cards_a_day`; 0..1, higher is better.

    It is the fraction of the k riskiest cards of a day that have fraud on that day, averaged over days. The risk of a
    card is its highest score of the day; ties are resolved by card id. A card with detected fraud is blocked and is not
    counted on later days. The divisor is k even if fewer cards were active.
    """
    if not is_fraud.any():
        return None
    _, card = np.unique(np.asarray(card_ids), return_inverse=True)
    day = np.asarray(days)
    blocked = np.zeros(card.max() + 1, np.bool_)
    precisions = []
    for today in np.unique(day):
        rows = (day == today) & ~blocked[card]
        risk = np.full(len(blocked), -np.inf)
        np.maximum.at(risk, card[rows], scores[rows])
        defrauded = np.zeros(len(blocked), np.bool_)
        defrauded[card[rows & is_fraud]] = True
        checked = np.argsort(-risk, kind="stable")[:cards_a_day]
        found = checked[defrauded[checked]]
        blocked[found] = True
        precisions.append(len(found) / cards_a_day)
    return float(np.mean(precisions))


def relative_cost(
    probabilities: NDArray[np.float64],
    is_fraud: NDArray[np.bool_],
    amount_minor: NDArray[np.integer[Any]],
    channels: NDArray[np.int64],
    policy: DecisionPolicy,
) -> float | None:
    """Return the cost of the policy's decisions divided by the cost of approving everything; lower is better.

    At 1 the model is worth nothing; above 1 its alerts cost more than the fraud that they prevent.
    """
    actions = policy.decide(probabilities, amount_minor.astype(np.float64), channels)
    return relative_cost_of(actions, is_fraud, amount_minor, channels, policy)


def relative_cost_of(
    actions: Sequence[Action],
    is_fraud: NDArray[np.bool_],
    amount_minor: NDArray[np.integer[Any]],
    channels: NDArray[np.int64],
    policy: DecisionPolicy,
) -> float | None:
    """Return the cost of these actions divided by the cost of approving everything; None if that is 0."""
    amounts = amount_minor.astype(np.float64)
    cost_of_approval = incurred_cost_minor(policy, [Action.APPROVE] * len(amounts), is_fraud, amounts, channels)
    if not cost_of_approval:
        return None
    return incurred_cost_minor(policy, actions, is_fraud, amounts, channels) / cost_of_approval


class RowCosts(NamedTuple):
    """The cost of n decisions under the true labels, and that of approving all: minor units, float64 [n]."""

    incurred: NDArray[np.float64]
    of_approval: NDArray[np.float64]


def row_costs_minor(
    policy: DecisionPolicy,
    actions: Sequence[Action],
    is_fraud: NDArray[np.bool_],
    amount_minor: NDArray[np.integer[Any]],
    channels: NDArray[np.int64],
) -> RowCosts:
    """Return the cost of each decision; the sums of the two, divided, are `relative_cost`."""
    costs = policy.expected_costs(is_fraud.astype(np.float64), amount_minor.astype(np.float64), channels)
    chosen = np.array([ACTIONS.index(action) for action in actions], np.int64)
    return RowCosts(np.take_along_axis(costs, chosen[:, None], axis=1)[:, 0], costs[:, ACTIONS.index(Action.APPROVE)])
