"""Sums of the costs of each card, in an order that depends on neither the cards' names nor the order of the rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class CardSums(NamedTuple):
    """Two amounts per card: `saved`, what the challenger saves, and `base`, the cost that the saving is related to.

    float64 [k] of the cards that have one of them, in canonical order. All others of the `cards` cards have 0 in both.
    """

    saved: NDArray[np.float64]
    base: NDArray[np.float64]
    cards: int


def sums_by_card(cards: NDArray[np.int64], saved: NDArray[np.float64], base: NDArray[np.float64]) -> CardSums:
    """Sum the n rows of each card. `cards` says which rows belong together; only equality of its values matters.

    Floating-point sums depend on the order of their terms, so the rows of a card are added in the order of their
    values, and the cards are then put into the order of their sums.

    >>> sums_by_card(np.array([7, 3, 7]), np.array([1.0, 0.0, 2.0]), np.array([4.0, 0.0, 4.0]))
    CardSums(saved=array([3.]), base=array([8.]), cards=2)
    """
    counted = (saved != 0) | (base != 0)
    of_rows = cards[counted]
    order = np.lexsort((base[counted], saved[counted], of_rows))
    starts = np.flatnonzero(np.diff(of_rows[order], prepend=of_rows[order][:1] - 1)) if len(order) else order
    sums_saved, sums_base = (
        np.add.reduceat(values[counted][order], starts) if len(order) else np.empty(0) for values in (saved, base)
    )
    canonical = np.lexsort((sums_base, sums_saved))
    return CardSums(sums_saved[canonical], sums_base[canonical], len(np.unique(cards)))
