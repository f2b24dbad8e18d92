"""How much a column changes from week to week although nothing has changed, and from which distance on it has drifted.

Customers' histories grow, labels arrive, months have pay days, and a week of a small portfolio is a small sample. What
is usual is read from the weeks before a champion was trained, by column:

    distances between neighbouring weeks      -> the distance of two weeks without a change, by their median
    of three weeks, the first to the third    -> how much further apart they are than neighbours, by the least one

Both are robust against a change within these weeks, after which a challenger is often trained. It lies between two
of four weeks, so it is in one of three neighbouring pairs; and of three weeks, the first and the third are then no
further apart than two neighbours are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from msgspec import Struct

from cardwatch.drift.distances import Values

MIN_WEEKS: Final = 3
"""Least number of weeks from which growth can be told from noise."""
LEAST_THRESHOLD: Final = 0.1
"""Least distance that counts as drift: Evidently's threshold for both of its distances."""
USUAL_RATIO: Final = 3.0
"""Multiple of the usual distance of two neighbouring weeks from which on a column has drifted."""
GROWTH_RATIO: Final = 2.0
"""Multiple of a column's usual growth, by which it may grow further."""

Distance = Callable[[Values, Values], float]


class UsualChange(Struct, frozen=True, kw_only=True):
    """The usual distance of two neighbouring weeks, and by how much it grows with each further week between them."""

    between_weeks: float
    per_week: float

    def threshold(self, weeks: float, least: float = LEAST_THRESHOLD) -> float:
        """Return the distance from which on a column has drifted, `weeks` (1 or more) after the reference.

        >>> usual = UsualChange(between_weeks=0.05, per_week=0.02)
        >>> round(usual.threshold(1), 2), round(usual.threshold(6), 2)
        (0.15, 0.35)
        """
        further = max(weeks - 1.0, 0.0)
        return max(least, USUAL_RATIO * self.between_weeks + GROWTH_RATIO * self.per_week * further)


NOTHING_USUAL: Final = UsualChange(between_weeks=0.0, per_week=0.0)
"""Where too few weeks are known. Only the least threshold applies."""


def usual_change(weeks: Sequence[Values], distance: Distance) -> UsualChange:
    """Return what is usual of a column from its values in consecutive weeks, oldest first: see the module.

    `NOTHING_USUAL` for fewer than `MIN_WEEKS`.
    """
    if len(weeks) < MIN_WEEKS:
        return NOTHING_USUAL
    neighbours = [distance(*pair) for pair in pairwise(weeks)]
    growths = [
        distance(first, third) - max(before, after)
        for first, third, (before, after) in zip(weeks, weeks[2:], pairwise(neighbours), strict=False)
    ]
    return UsualChange(between_weeks=median(neighbours), per_week=max(min(growths), 0.0))
