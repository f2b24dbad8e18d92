"""The curves of a report, as points: precision by recall, calibration, and cost by the share of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.wilson import wilson_interval

RECALLS: Final = np.linspace(0.01, 1.0, 100)
"""Recalls at which the precisions of the folds are averaged."""

ALERT_SHARES: Final = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 161)])
"""Shares of the transactions that raise an alert, at which the costs of the folds are averaged."""

PROBABILITY_BINS: Final = np.array([0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0])
"""Edges of the bins of a calibration curve. They are narrow where probabilities are low, because fraud is rare and the
policy challenges at one per cent already."""


Floats = NDArray[np.floating[Any]]


class CalibrationBin(NamedTuple):
    """Rows with probabilities in one bin: their mean probability, and the share of fraud with its 95 % interval."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int
    frauds: int


class CostCurve(Struct, frozen=True, kw_only=True):
    """Costs as a share of the cost of approving everything, at each of `ALERT_SHARES`."""

    relative_costs: NDArray[np.float64]

    @property
    def lowest(self) -> tuple[float, float]:
        """The share of alerts at which the cost is lowest, and that cost."""
        at = int(np.argmin(self.relative_costs))
        return float(ALERT_SHARES[at]), float(self.relative_costs[at])


def precisions_at_recalls(scores: Floats, is_fraud: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the precision at the highest threshold that reaches each of `RECALLS`; NaN without fraud.

    Between two thresholds no precision is interpolated, because it would be too high (Davis and Goadrich 2006).

    >>> precisions_at_recalls(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))[[0, 49, 50, 99]].round(2)
    array([1.  , 1.  , 0.67, 0.67])
    """
    frauds = int(is_fraud.sum())
    if not frauds:
        return np.full(len(RECALLS), np.nan)
    alerts, found = _found_by_threshold(scores, is_fraud.astype(np.float64))
    # Rounding: a recall of 0.07 * 100 must be reached by the 7th of 100 frauds.
    at = np.searchsorted(found, RECALLS * frauds * (1 - 1e-9))
    precisions: NDArray[np.float64] = found[at] / alerts[at]
    return precisions


def calibration_curve(probabilities: Floats, is_fraud: NDArray[np.bool_]) -> list[CalibrationBin]:
    """Return the bins of `PROBABILITY_BINS` that have rows.

    The interval is Wilson's (1927), which takes rows to be independent; the rows of a card are not quite.
    """
    places = np.clip(np.searchsorted(PROBABILITY_BINS, probabilities, side="right") - 1, 0, len(PROBABILITY_BINS) - 2)
    bins = []
    for place in np.unique(places):
        inside = places == place
        rows, frauds = int(inside.sum()), int(is_fraud[inside].sum())
        low, high = wilson_interval(frauds, rows)
        bins.append(CalibrationBin(float(probabilities[inside].mean()), frauds / rows, low, high, rows, frauds))
    return bins


def relative_costs(scores: Floats, of_alert: Floats, of_approval: Floats) -> NDArray[np.float64] | None:
    """Return the costs if the riskiest rows, each of `ALERT_SHARES` in turn, raise alerts and the rest is approved.

    `of_alert` and `of_approval` are the costs of each row in minor units. The result is relative to approving
    everything; None if that costs nothing. Rows of equal scores raise their alerts in an arbitrary order, of which the
    mean is returned.

    >>> costs = relative_costs(np.array([2.0, 1.0]), np.array([10.0, 5.0]), np.array([100.0, 0.0]))
    >>> costs[[0, -1]].tolist()
    [1.0, 0.15]
    """
    everything = float(of_approval.sum())
    if not everything:
        return None
    alerts, saved = _found_by_threshold(scores, of_approval - of_alert)
    saved_at = np.interp(ALERT_SHARES * len(scores), np.append(0, alerts), np.append(0.0, saved))
    costs: NDArray[np.float64] = (everything - saved_at) / everything
    return costs


def mean_curve(curves: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean over the folds at each point; a fold with NaN there does not count."""
    stacked = np.stack(curves)
    known = ~np.isnan(stacked)
    means = np.full(stacked.shape[1], np.nan)
    np.divide(np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0), out=means, where=known.any(axis=0))
    return means


def _found_by_threshold(scores: Floats, values: Floats) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For every distinct score as the threshold, highest first: how many rows reach it, and the sum of their values."""
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    return last + 1, np.cumsum(values[order], dtype=np.float64)[last]
