"""The interval of a share."""

from __future__ import annotations

from math import sqrt
from typing import Final

NORMAL_95: Final = 1.959964
"""The quantile of the standard normal distribution of an interval of 95 %."""


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927). `trials` is positive; both may be sums of weights.

    >>> [round(end, 4) for end in wilson_interval(0, 10)]
    [0.0, 0.2775]
    """
    share, z2 = successes / trials, NORMAL_95**2
    centre = share + z2 / (2 * trials)
    spread = NORMAL_95 * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, (centre - spread) / (1 + z2 / trials)), min(1.0, (centre + spread) / (1 + z2 / trials))
