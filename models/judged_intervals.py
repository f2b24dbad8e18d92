"""Confidence intervals of the metrics of judged rows that have weights, by resampling cards.

Like `models.card_bootstrap`, whose limits hold here as well, but for rows that stand for several transactions: the
weight of a row is multiplied by how often its card was drawn.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.card_bootstrap import MINIMUM_DEFRAUDED_CARDS, Interval, percentile_interval

RESAMPLES: Final = 500
"""Number of resamples: 12 of them lie beyond each end of a 95 % interval."""
CONFIDENCE: Final = 0.95
FALSE_POSITIVE_RATE: Final = 0.001
"""The rate at which `ScoreQuality` has the recall."""


class JudgedIntervals(Struct, frozen=True, kw_only=True):
    """The 95 % intervals of a model's metrics, as `ScoreQuality` defines them; None where one cannot be given."""

    average_precision: Interval | None = None
    recall: Interval | None = None
    relative_cost: Interval | None = None


def judged_intervals(
    margins: NDArray[np.float32],
    is_fraud: NDArray[np.bool_],
    weight: NDArray[np.float64],
    cards: NDArray[np.int64],
    *,
    cost_minor: NDArray[np.float64],
    approval_cost_minor: NDArray[np.float64],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> JudgedIntervals:
    """Return the intervals for n rows; all arrays are [n], and costs include the weight.

    With fewer than `MINIMUM_DEFRAUDED_CARDS` cards with fraud there are none, because they would be too narrow.
    """
    if len(np.unique(cards[is_fraud])) < MINIMUM_DEFRAUDED_CARDS or is_fraud.all():
        return JudgedIntervals()
    ranking = _Ranking(margins, is_fraud, weight, cards)
    spent, lost = (np.bincount(ranking.card_of(cards), costs) for costs in (cost_minor, approval_cost_minor))
    random = np.random.default_rng(seed)
    found = np.full((resamples, 3), np.nan)
    for place in range(resamples):
        drawn = np.bincount(random.integers(0, ranking.cards, ranking.cards), minlength=ranking.cards)
        base = float((drawn * lost).sum())
        found[place] = *ranking.measure(drawn), float((drawn * spent).sum()) / base if base > 0 else np.nan
    intervals = [percentile_interval(column, CONFIDENCE) for column in found.T]
    return JudgedIntervals(average_precision=intervals[0], recall=intervals[1], relative_cost=intervals[2])


class _Ranking:
    """Rows from the highest score to the lowest, in segments that end after each score that a fraud has.

    Only these thresholds matter: between them no further fraud is found. Rows with equal scores are alerted together.
    """

    def __init__(
        self,
        margins: NDArray[np.float32],
        is_fraud: NDArray[np.bool_],
        weight: NDArray[np.float64],
        cards: NDArray[np.int64],
    ) -> None:
        self._names = np.unique(cards)
        self.cards = len(self._names)
        order = np.argsort(-margins, kind="stable")
        self._card = self.card_of(cards[order])
        self._weight, self._fraud_weight = weight[order], (weight * is_fraud)[order]
        negative = -margins[order]
        stops = np.unique(np.searchsorted(negative, negative[is_fraud[order]], side="right"))
        self._stop, self._starts = int(stops[-1]), np.concatenate([[0], stops[:-1]])

    def card_of(self, cards: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of cards among all cards."""
        return np.searchsorted(self._names, cards)

    def measure(self, drawn: NDArray[np.int64]) -> tuple[float, float]:
        """Return average precision and recall if each card is there as often as drawn, NaN where undefined."""
        times = drawn[self._card]
        weights, of_frauds = self._weight * times, self._fraud_weight * times
        newly_found = np.add.reduceat(of_frauds[: self._stop], self._starts)
        found = np.cumsum(newly_found)
        alerts = np.cumsum(np.add.reduceat(weights[: self._stop], self._starts))
        genuine = weights.sum() - found[-1]
        if found[-1] <= 0 or genuine <= 0:
            return np.nan, np.nan
        precision = np.divide(found, alerts, out=np.zeros_like(found), where=alerts > 0)
        allowed = alerts - found <= FALSE_POSITIVE_RATE * genuine * (1.0 + 1e-12)
        recall = found[allowed].max(initial=0.0) / found[-1]
        return float((newly_found * precision).sum() / found[-1]), float(recall)
