"""Weighted draws within groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class WeightedSampler:
    """Draws from the members of a group, each as likely as its weight; members of weight 0 are never drawn.

    `weights` and `groups` have one element for each member; groups are numbered from 0. One sorted cumulative
    sum serves all groups, so that drawing for thousands of groups at once costs one binary search each.
    """

    def __init__(self, weights: NDArray[np.float64], groups: Ints) -> None:
        chosen = np.flatnonzero(weights > 0)
        self._members = chosen[np.argsort(groups[chosen], kind="stable")]
        self._edges = np.searchsorted(groups[self._members], np.arange(int(groups.max()) + 2))
        self._sums = np.concatenate([[0.0], np.cumsum(weights[self._members])])

    def draw(self, rng: np.random.Generator, groups: Ints) -> Ints:
        """One member for each element of `groups`, which must not be empty groups."""
        first, end = self._edges[groups], self._edges[groups + 1]
        low, high = self._sums[first], self._sums[end]
        tickets = low + (high - low) * rng.random(len(groups))
        winners = np.searchsorted(self._sums, tickets, side="right") - 1
        drawn: Ints = self._members[np.clip(winners, first, end - 1)]
        return drawn

    def draw_any(self, rng: np.random.Generator, count: int) -> Ints:
        """`count` members of group 0."""
        return self.draw(rng, np.zeros(count, dtype=np.int64))
