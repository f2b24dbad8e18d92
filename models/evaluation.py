"""How good scores are, in the numbers that a fraud team works with.

A number that the data cannot give (no fraud, no genuine row) is None: an evaluation never fails for want of fraud.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from cardwatch.decision.cost_policy import DecisionPolicy, incurred_cost_minor
from cardwatch.events import Action

CARDS_A_DAY: Final = 100


class Evaluation(Struct, frozen=True, kw_only=True):
    """What scores achieved on rows whose truth is known. All but the counts: higher is better, except `expected_cost`.

    `recall_at_fpr_*`: the share of fraud found when at most that share of genuine rows is alarmed.
    `card_precision_at_100`: see `card_precision`. `expected_cost`: see `cost_share`.
    """

    rows: int
    frauds: int
    roc_auc: float | None
    average_precision: float | None
    recall_at_fpr_0_1_percent: float | None
    recall_at_fpr_1_percent: float | None
    card_precision_at_100: float | None
    expected_cost: float | None


def evaluate(
    scores: NDArray[np.floating[Any]],
    is_fraud: NDArray[np.bool_],
    *,
    amount_minor: NDArray[np.integer[Any]],
    card_ids: ArrayLike,
    days: ArrayLike,
    probabilities: NDArray[np.float64] | None = None,
    policy: DecisionPolicy | None = None,
) -> Evaluation:
    """Judge `scores` (margins or probabilities, higher is riskier); all arguments have one element per row.

    Cost needs calibrated `probabilities`: without them `expected_cost` is None.
    """
    both = bool(is_fraud.any()) and not bool(is_fraud.all())
    cost = (
        None if probabilities is None else cost_share(probabilities, is_fraud, amount_minor, policy or DecisionPolicy())
    )
    return Evaluation(
        rows=len(is_fraud),
        frauds=int(is_fraud.sum()),
        roc_auc=float(roc_auc_score(is_fraud, scores)) if both else None,
        average_precision=float(average_precision_score(is_fraud, scores)) if is_fraud.any() else None,
        recall_at_fpr_0_1_percent=recall_with_one_false_alarm_in(1_000, scores, is_fraud),
        recall_at_fpr_1_percent=recall_with_one_false_alarm_in(100, scores, is_fraud),
        card_precision_at_100=card_precision(scores, is_fraud, card_ids, days),
        expected_cost=cost,
    )


def recall_with_one_false_alarm_in(
    genuine_rows: int, scores: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_]
) -> float | None:
    """The share of fraud above the threshold that alarms at most one in `genuine_rows` genuine rows.

    Fraud that ties with the first genuine row too many is not found: alarming it would alarm that row too.
    """
    genuine, fraud = np.sort(scores[~is_fraud])[::-1], scores[is_fraud]
    if not len(genuine) or not len(fraud):
        return None
    first_too_many = genuine[len(genuine) // genuine_rows]
    return float(np.mean(fraud > first_too_many))


def card_precision(
    scores: NDArray[np.floating[Any]],
    is_fraud: NDArray[np.bool_],
    card_ids: ArrayLike,
    days: ArrayLike,
    *,
    cards_a_day: int = CARDS_A_DAY,
) -> float | None:
    """Card Precision top-k of the Fraud Detection Handbook: of the k riskiest cards of a day, the share with fraud.

    A card is as risky as its riskiest row of the day. A card that is found is blocked and leaves the days after. Of
    equally risky cards the first by id is taken. The mean is over days, and k divides even if fewer cards were active.
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
        looked_at = np.argsort(-risk, kind="stable")[:cards_a_day]
        found = looked_at[defrauded[looked_at]]
        blocked[found] = True
        precisions.append(len(found) / cards_a_day)
    return float(np.mean(precisions))


def cost_share(
    probabilities: NDArray[np.float64],
    is_fraud: NDArray[np.bool_],
    amount_minor: NDArray[np.integer[Any]],
    policy: DecisionPolicy,
) -> float | None:
    """What the policy's decisions cost in hindsight, as a share of what approving everything costs.

    0 is free, 1 is as bad as no detector, above 1 the alarms cost more than the fraud they stop.
    """
    amounts = amount_minor.astype(np.float64)
    approve_all: Sequence[Action] = [Action.APPROVE] * len(amounts)
    at_stake = incurred_cost_minor(policy, approve_all, is_fraud, amounts)
    if not at_stake:
        return None
    return incurred_cost_minor(policy, policy.decide(probabilities, amounts), is_fraud, amounts) / at_stake
