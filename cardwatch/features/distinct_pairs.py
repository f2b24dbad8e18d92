"""Distinct pairs over many days: a compiled hash set; sorting all pairs again for each table takes much longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.compiled import compiled
from cardwatch.features.reference_table import Hashes

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Fibonacci hashing (Knuth, volume 3, 6.4)
_HALF: Final = np.uint64(32)
_FREE: Final = np.uint64(0)


def count_partners(parts: Sequence[Hashes], entities: Hashes) -> NDArray[np.int64]:
    """Return how many distinct pairs each entity is the first of, int64 [n].

    `parts`: pairs as `reference_days.pairs` makes them. `entities`: the sorted and distinct low 32 bits of n hashes.
    """
    total = np.zeros(len(entities), np.int64)
    pairs = sum(map(len, parts))
    if not pairs or not len(entities):
        return total
    bits = max(int(2 * pairs - 1).bit_length(), 4)  # at most half of the slots are used
    slots = np.zeros(1 << bits, np.uint64)
    for part in parts:
        _count_new(part, slots, np.uint64(64 - bits), entities, total)
    return total


@compiled
def _count_new(pairs, slots, shift, entities, total):  # type: ignore[no-untyped-def]
    """Add the pairs to the set, and count the new ones for their first entity."""
    mask = np.uint64(len(slots) - 1)
    for pair in pairs:
        stored = ~pair  # not 0, which marks a free slot: no entity has the low bits 0xFFFFFFFF twice
        slot = (pair * _MIX) >> shift
        while slots[slot] != _FREE and slots[slot] != stored:
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == _FREE:
            slots[slot] = stored
            at = np.searchsorted(entities, pair >> _HALF)
            if at < len(entities) and entities[at] == pair >> _HALF:
                total[at] += 1
