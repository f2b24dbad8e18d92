"""Missed fraud: how much of it a model lets through, and how large and how certain a rise of it is.

Fraud teams know this number as the fraud rate that gets through. Average precision says how well a model ranks; it
rises with the share of fraud, so it may stay high while far more fraud is approved than before. Missed frauds per
10,000 decisions are what that costs.

Counts of fraud scatter more than Poisson's law says, because a campaign makes many frauds at once. Their variance is
taken as a multiple of their mean (quasi-Poisson: McCullagh and Nelder, "Generalized linear models", 1989, chapter 6),
the design effect, which is the variance of weekly counts over their mean while nothing changes. Rates are compared as
square roots, whose variance does not depend on the rate, so that few frauds and none need no exception (Huffman, "An
improved approximate two-sample Poisson test", Applied Statistics 1984).
"""

from __future__ import annotations

import math
from typing import Annotated, Final

from msgspec import Meta, Struct

PER_DECISIONS: Final = 10_000
"""Missed frauds are shown per so many decisions."""
_ANSCOMBE: Final = 3 / 8
"""Added to a count, it makes the variance of the square root nearly constant (Anscombe, Biometrika 1948)."""


class MissedFrauds(Struct, frozen=True, kw_only=True):
    """Of `decisions` of a model, at least 1, `frauds` were approved frauds.

    Frauds that were challenged do not count, and neither do control rows, which the model would have declined. Over
    judged rows `frauds` is a sum of weights, see `cardwatch.label_states.control_weights`.
    """

    frauds: Annotated[float, Meta(ge=0)]
    decisions: Annotated[int, Meta(ge=1, lt=2**62)]

    @property
    def per_10000(self) -> float:
        """Missed frauds per 10,000 decisions."""
        return PER_DECISIONS * self.frauds / self.decisions


def rate_ratio(baseline: MissedFrauds, current: MissedFrauds) -> float:
    """Return how many times the baseline's rate the current one is: 1 for equal rates, infinite above a rate of 0.

    >>> rate_ratio(MissedFrauds(frauds=20, decisions=10_000), MissedFrauds(frauds=60, decisions=10_000))
    3.0
    """
    if baseline.frauds == 0:
        return math.inf if current.frauds > 0 else 1.0
    return current.per_10000 / baseline.per_10000


def standard_errors_risen(baseline: MissedFrauds, current: MissedFrauds, design_effect: float) -> float:
    """Return the rise of the rate over its standard error, both of square roots: negative if the rate has fallen."""
    before, now = (math.sqrt((each.frauds + _ANSCOMBE) / each.decisions) for each in (baseline, current))
    variance = design_effect / 4 * (1 / baseline.decisions + 1 / current.decisions)
    return (now - before) / math.sqrt(variance)
