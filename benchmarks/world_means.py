"""Means over simulated worlds, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from benchmarks.interval_estimate import IntervalEstimate


def estimate(values: Sequence[float]) -> IntervalEstimate:
    """Return the mean of one value per world, with its interval (Student's t); without an interval for one world."""
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return IntervalEstimate(value=mean, low=float("nan"), high=float("nan"))
    half = float(student.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return IntervalEstimate(value=mean, low=mean - half, high=mean + half)
