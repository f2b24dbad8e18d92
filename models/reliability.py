"""How well probabilities agree with what happened: Brier score, log loss, calibration error, reliability plot."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.wilson import wilson_interval

BINS: Final = 10
"""Bins of the expected calibration error, with equal weights of rows in each."""
PLOT_BINS: Final = 10
"""Bins of the reliability plot, with equal numbers of expected frauds in each."""
_TINY: Final = 1e-12


class CalibrationQuality(Struct, frozen=True, kw_only=True):
    """Measures of probabilities; lower is better, 0 is perfect, except for `expected_to_observed`, which is 1 then.

    `brier` is the mean squared error (Brier 1950), `log_loss` the mean negative log-likelihood in nats, and
    `expected_calibration_error` the mean over `bins` bins with equal weights of rows of |mean probability - fraud rate|
    (Naeini and others 2015). `expected_to_observed` is the sum of the probabilities over the number of frauds.
    """

    brier: float
    log_loss: float
    expected_calibration_error: float
    bins: int
    expected_to_observed: float


class ReliabilityPoint(NamedTuple):
    """Mean probability and observed fraud rate of a bin with this sum of weights, and the ends of its 95 % interval.

    The interval is that of Wilson (1927) for independent rows. Rows of one card are not, so it is too narrow.
    """

    probability: float
    rate: float
    weight: float
    low: float
    high: float


def measure_calibration(
    probabilities: NDArray[np.float64], is_fraud: NDArray[np.bool_], weight: NDArray[np.floating] | None = None
) -> CalibrationQuality:
    """Measure probabilities of fraud in 0..1; all arrays have shape [n], n is at least 1. `weight` is 1 by default."""
    weights = _weights(weight, len(is_fraud))
    clipped = np.clip(probabilities, _TINY, 1.0 - _TINY)
    loss = -np.where(is_fraud, np.log(clipped), np.log1p(-clipped))
    frauds = weights[is_fraud].sum()
    return CalibrationQuality(
        brier=float(np.average((probabilities - is_fraud) ** 2, weights=weights)),
        log_loss=float(np.average(loss, weights=weights)),
        expected_calibration_error=expected_calibration_error(probabilities, is_fraud, weight),
        bins=BINS,
        expected_to_observed=float((probabilities * weights).sum() / frauds) if frauds else float("inf"),
    )


def expected_calibration_error(
    probabilities: NDArray[np.float64],
    is_fraud: NDArray[np.bool_],
    weight: NDArray[np.floating] | None = None,
    bins: int = BINS,
) -> float:
    """Return the weighted mean over bins of |mean probability - fraud rate|, in 0..1.

    >>> expected_calibration_error(np.array([0.1, 0.3, 0.6, 0.8]), np.array([False, True, True, True]), bins=2)
    0.3
    """
    weights = _weights(weight, len(is_fraud))
    places = _bins(probabilities, weights, bins)
    gaps = np.bincount(places, weights * (probabilities - is_fraud), minlength=bins)
    return float(np.abs(gaps).sum() / weights.sum())


def reliability_points(
    probabilities: NDArray[np.float64],
    is_fraud: NDArray[np.bool_],
    weight: NDArray[np.floating] | None = None,
    bins: int = PLOT_BINS,
) -> list[ReliabilityPoint]:
    """Return the points of a reliability plot, lowest probability first: bins that expect about equally many frauds.

    Nearly all probabilities of fraud are tiny: of ten bins with equal numbers of rows, one would show all alerts. Empty
    bins are left out.
    """
    weights = _weights(weight, len(is_fraud))
    places = _bins(probabilities, weights * probabilities, bins)
    totals = [np.bincount(places, weights * each, minlength=bins) for each in (1.0, probabilities, is_fraud)]
    return [
        _point(float(expected), float(frauds), float(rows))
        for rows, expected, frauds in zip(*totals, strict=True)
        if rows > 0
    ]


def _point(expected: float, frauds: float, rows: float) -> ReliabilityPoint:
    rate = frauds / rows
    low, high = wilson_interval(rate * rows, rows)
    return ReliabilityPoint(expected / rows, rate, rows, low, high)


def _bins(probabilities: NDArray[np.float64], mass: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return the bin of each row, int64 [n], so that bins have about equal mass. Equal probabilities share a bin."""
    places = np.unique(probabilities, return_inverse=True)[1]
    of_value = np.bincount(places, mass)
    middle = np.cumsum(of_value) - 0.5 * of_value
    total = of_value.sum()
    share = middle / total if total > 0 else np.zeros(len(of_value))
    return np.minimum((share * bins).astype(np.int64), bins - 1)[places]


def _weights(weight: NDArray[np.floating] | None, count: int) -> NDArray[np.float64]:
    return np.ones(count) if weight is None else weight.astype(np.float64)
