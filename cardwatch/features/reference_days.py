"""Transactions of one event day as reference tables need them: counted per entity once for all tables."""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.reference_table import Hashes

Counts = NDArray[np.int64]

ROWS: Final = np.dtype(
    [
        ("transaction", "<u8"),  # identity hashes; 0: the transaction does not name one
        ("card", "<u8"),
        ("merchant", "<u8"),
        ("device", "<u8"),
        ("occurred_at_ms", "<i8"),
        ("amount_minor", "<i8"),
    ]
)

LOW_BITS: Final = np.uint64(0xFFFFFFFF)
"""The bits of a hash that card states and pairs keep. Among a million entities about 116 pairs share them."""
_HALF: Final = np.uint64(32)


class CountedEntities(NamedTuple):
    """Entities of one kind with their transactions. `hashes`: uint64 [n], sorted and distinct. `counts`: int64 [n]."""

    hashes: Hashes
    counts: Counts


class DayOfTransactions:
    """The transactions of one event day. What is derived from them is computed once; add all rows before.

    `rows`: dtype ROWS, sorted by card.
    """

    def __init__(self, rows: NDArray[np.void]) -> None:
        self.rows: Final = rows[np.argsort(rows["card"], kind="stable")]

    @cached_property
    def merchants(self) -> CountedEntities:
        """Merchants of the day."""
        return count(self.rows["merchant"])

    @cached_property
    def amounts(self) -> Counts:
        """Sum of the amounts of each of `merchants` in minor units, int64."""
        sums = np.zeros(len(self.merchants.hashes), np.int64)
        np.add.at(sums, np.searchsorted(self.merchants.hashes, self.rows["merchant"]), self.rows["amount_minor"])
        return sums

    @cached_property
    def devices(self) -> CountedEntities:
        """Devices of the day, without 0."""
        return count(named(self.rows["device"]))

    @cached_property
    def merchant_cards(self) -> Hashes:
        """The distinct pairs of merchant and card, see `pairs`."""
        return distinct(pairs(self.rows["merchant"], self.rows["card"]))

    @cached_property
    def device_cards(self) -> Hashes:
        """The distinct pairs of device and card, see `pairs`."""
        rows = self.rows[self.rows["device"] != 0]
        return distinct(pairs(rows["device"], rows["card"]))

    @cached_property
    def _by_transaction(self) -> NDArray[np.void]:
        """The rows by transaction; the order of a repeated one's rows does not depend on that of their arrival."""
        keys = ("device", "transaction")  # the last one is the first to sort by
        ordered: NDArray[np.void] = self.rows[np.lexsort([self.rows[key] for key in keys])]
        return ordered

    def of_cards(self, cards: Hashes) -> NDArray[np.void]:
        """Return the rows of these cards, which are sorted and distinct."""
        column: Hashes = np.ascontiguousarray(self.rows["card"])
        first, stop = np.searchsorted(column, cards), np.searchsorted(column, cards, side="right")
        sizes = stop - first
        begins = np.repeat(first - (np.cumsum(sizes) - sizes), sizes)
        return self.rows[begins + np.arange(int(sizes.sum()))]

    def find(self, transactions: Hashes) -> tuple[NDArray[np.bool_], NDArray[np.void]]:
        """Return which of these transactions are here, bool [n], and a row of each that is."""
        if not len(self.rows):
            return np.zeros(len(transactions), np.bool_), self.rows
        hashes = np.ascontiguousarray(self._by_transaction["transaction"])
        at = np.minimum(np.searchsorted(hashes, transactions), len(hashes) - 1)
        is_found = hashes[at] == transactions
        return is_found, self._by_transaction[at[is_found]]


def named(hashes: Hashes) -> Hashes:
    """Return the hashes without those of transactions that do not name an entity."""
    kept: Hashes = hashes[hashes != 0]
    return kept


def pairs(first: Hashes, second: Hashes) -> Hashes:
    """Return a number per pair of hashes, uint64 [n]: the low 32 bits of the first, then those of the second."""
    paired: Hashes = ((first & LOW_BITS) << _HALF) | (second & LOW_BITS)
    return paired


def firsts(paired: Hashes) -> Hashes:
    """Return the low bits of the first hash of each pair."""
    low: Hashes = paired >> _HALF
    return low


def distinct(hashes: Hashes) -> Hashes:
    """Return the sorted distinct values."""
    return count(hashes).hashes


def count(hashes: Hashes) -> CountedEntities:
    """Return the sorted distinct values and how often each occurs."""
    ordered = np.sort(hashes)  # `np.unique` takes many times as long for integers
    if not len(ordered):
        return CountedEntities(ordered, np.zeros(0, np.int64))
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return CountedEntities(ordered[starts], np.diff(np.append(starts, len(ordered))))


def add_to(total: Counts, hashes: Hashes, counted: CountedEntities) -> None:
    """Add counts to those of `hashes`, which are sorted and distinct; others are ignored."""
    at = np.minimum(np.searchsorted(hashes, counted.hashes), max(len(hashes) - 1, 0))
    if len(hashes):
        is_known = hashes[at] == counted.hashes
        total[at[is_known]] += counted.counts[is_known]
