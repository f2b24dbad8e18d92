"""Conditions over feature rows: when a reason code is true.

A condition bounds one feature. A code is true of a row if all conditions of one of its alternatives are. They are data
and not functions, so that all codes of a row take a few comparisons of whole arrays, documentation shows exactly what
is computed, and a missing value can make no code true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.features.definitions import column


class Condition(Struct, frozen=True):
    """A feature lies between `low` and `high`, both included, in the feature's unit. False where it is missing."""

    feature: str
    low: float
    high: float

    def __str__(self) -> str:
        limit, sign = (self.low, "≥") if np.isfinite(self.low) else (self.high, "≤")
        return f"`{self.feature}` {sign} {limit:,g}"


Alternatives = tuple[tuple[Condition, ...], ...]
"""At least one alternative, each of at least one condition. One alternative must hold, with all of its conditions."""


def at_least(feature: str, low: float) -> Condition:
    """Return the condition that the feature is known and at least `low`.

    >>> str(at_least("distance_from_last_km", 1_500))
    '`distance_from_last_km` ≥ 1,500'
    """
    return Condition(feature, low, np.inf)


def at_most(feature: str, high: float) -> Condition:
    """Return the condition that the feature is known and at most `high`."""
    return Condition(feature, -np.inf, high)


def is_known(feature: str) -> Condition:
    """Return the condition that a feature that is never negative is known."""
    return at_least(feature, 0.0)


class Conditions:
    """The alternatives of several codes, ready for evaluation.

    >>> found = Conditions([((at_least("amount", 5), at_most("amount", 9)), (at_least("count_1h", 3),))])
    >>> rows = np.full((3, 80), np.nan, np.float32)
    >>> rows[0, column("amount")], rows[1, column("amount")], rows[2, column("count_1h")] = 7, 10, 3
    >>> found.hold(rows).tolist()
    [[True], [False], [True]]
    """

    def __init__(self, codes: Sequence[Alternatives]) -> None:
        alternatives = [alternative for code in codes for alternative in code]
        conditions = [condition for alternative in alternatives for condition in alternative]
        self._columns: Final = np.array([column(condition.feature) for condition in conditions])
        self._low: Final = np.array([condition.low for condition in conditions], np.float32)
        self._high: Final = np.array([condition.high for condition in conditions], np.float32)
        self._alternatives: Final = _starts([len(alternative) for alternative in alternatives])
        self._codes: Final = _starts([len(code) for code in codes])

    def hold(self, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which codes are true of each row, bool [n, codes], of feature rows float32 [n, features]."""
        values = rows[:, self._columns]
        with np.errstate(invalid="ignore"):
            holds = (values >= self._low) & (values <= self._high)
        alternatives = np.logical_and.reduceat(holds, self._alternatives, axis=1)
        codes: NDArray[np.bool_] = np.logical_or.reduceat(alternatives, self._codes, axis=1)
        return codes


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Return where each of consecutive parts begins."""
    return np.cumsum([0, *lengths[:-1]])
