"""Weighted sampling within groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.transaction_array import Ints


class WeightedSampler:
    """Draws members of groups with probabilities proportional to weights; members of weight 0 are never drawn.

    `weights` and `groups` have one element per member; groups are numbered from 0. All groups share one cumulative sum,
    so a draw costs one binary search.
    """

    def __init__(self, weights: NDArray[np.float64], groups: Ints) -> None:
        chosen = np.flatnonzero(weights > 0)
        self._members = chosen[np.argsort(groups[chosen], kind="stable")]
        self._edges = np.searchsorted(groups[self._members], np.arange(int(groups.max()) + 2))
        self._sums = np.concatenate([[0.0], np.cumsum(weights[self._members])])

    def draw(self, rng: np.random.Generator, groups: Ints) -> Ints:
        """Return one member for each element of `groups`; no group may be empty."""
        first, end = self._edges[groups], self._edges[groups + 1]
        low, high = self._sums[first], self._sums[end]
        draws = low + (high - low) * rng.random(len(groups))
        positions = np.searchsorted(self._sums, draws, side="right") - 1
        drawn: Ints = self._members[np.clip(positions, first, end - 1)]
        return drawn

    def has_members(self, groups: Ints) -> NDArray[np.bool_]:
        """Return for each element of `groups` whether a member can be drawn."""
        found: NDArray[np.bool_] = self._edges[groups] < self._edges[groups + 1]
        return found

    def draw_ungrouped(self, rng: np.random.Generator, count: int) -> Ints:
        """Return `count` members of group 0, for samplers with one group."""
        return self.draw(rng, np.zeros(count, dtype=np.int64))
