"""Performance before labels have arrived, estimated from the calibrated probabilities of the scores.

If a probability of 0.2 means that one in five such transactions is fraud, then probabilities say how many frauds there
are and how many of them rank high. Such an estimate knows how the mix of transactions has changed. It does not know a
kind of fraud that the model takes for genuine, so it stays high where the model has become worse in this way: it is
shown beside the measured performance, and triggers nothing. The method is known as confidence-based performance
estimation (CBPE of the library NannyML).
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray


class EstimatedPerformance(Struct, frozen=True, kw_only=True):
    """`average_precision` (0..1, higher is better) over rows with `frauds` frauds, both as the probabilities expect."""

    average_precision: float
    frauds: float


def estimate_performance(probabilities: NDArray[np.float64]) -> EstimatedPerformance | None:
    """Return the expected performance of n scores from their calibrated probabilities, float64 [n] in 0..1.

    A higher score has a higher probability, so the probabilities give the ranking as well. At rank k, a fraud finds
    itself and the expected frauds above it among k rows; the mean of these precisions is weighted by the probability of
    each row. None without rows, or if no fraud is expected.

    >>> estimate_performance(np.array([0.0, 0.5, 1.0]))
    EstimatedPerformance(average_precision=1.0, frauds=1.5)
    """
    ranked = np.sort(probabilities)[::-1]
    frauds = float(ranked.sum())
    if not frauds > 0.0:
        return None
    above = np.cumsum(ranked) - ranked
    precision = (1.0 + above) / np.arange(1, len(ranked) + 1)
    return EstimatedPerformance(average_precision=float(np.sum(ranked * precision) / frauds), frauds=frauds)
