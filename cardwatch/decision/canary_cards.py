"""Which cards a canary decides: a share of them by a hash of the card and of the version that is canary.

The hash depends on nothing else, so a card stays with the same model for the life of a canary, a larger share keeps the
cards of a smaller one, and everybody who reads a decision can repeat the choice. Another canary gets other cards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_POSITIONS: Final = 2**53
"""Positions of cards, so many that each is exact as a float64."""


def position_of_card(card_id: str, version: str) -> float:
    """Return the position of a card in [0, 1) for the canary of this version.

    >>> position_of_card("c-1", "d") == position_of_card("c-1", "d") != position_of_card("c-1", "e")
    True
    """
    return _hashed(card_id, version) / _POSITIONS


def is_decided_by_canary(card_ids: Sequence[str], version: str, share: float) -> NDArray[np.bool_]:
    """Return which of n cards the canary decides, bool [n]. `share` is in 0..1; 0 chooses none and 1 all.

    >>> is_decided_by_canary(["c-1", "c-2"], "d", 1.0).tolist()
    [True, True]
    """
    limit = share * _POSITIONS
    return np.array([_hashed(card_id, version) < limit for card_id in card_ids], np.bool_)


def _hashed(card_id: str, version: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{version}:{card_id}".encode()).digest()[:8]) >> 11
