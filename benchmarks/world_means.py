"""Means over simulated worlds, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from scipy.stats import t as student


class WorldMean(Struct, frozen=True, kw_only=True):
    """A mean over worlds, with the ends of its 95 % interval (Student's t)."""

    mean: float
    low: float
    high: float

    def shown(self, form: str) -> str:
        """Return the mean and its interval as text; `form` is a format such as `.2f`."""
        return f"{self.mean:{form}} ({self.low:{form}} to {self.high:{form}})"


def estimate(values: Sequence[float]) -> WorldMean:
    """Return the mean of one value per world, with its interval; without an interval for one world."""
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return WorldMean(mean=mean, low=float("nan"), high=float("nan"))
    half = float(student.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return WorldMean(mean=mean, low=mean - half, high=mean + half)
