"""The states of the cards of one partition while its archived log is replayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.archive.arrow_columns import distinct
from cardwatch.features.state import STATE, empty_states


class CardStates:
    """States of the cards of one partition, in order of first appearance."""

    def __init__(self) -> None:
        self._indexes: dict[str, int] = {}
        self._states = empty_states(0)

    @property
    def cards(self) -> list[str]:
        """Ids of the cards seen so far."""
        return list(self._indexes)

    @property
    def states(self) -> NDArray[np.void]:
        """Their states, dtype STATE [cards]. The kernel updates them in place."""
        return self._states[: len(self._indexes)]

    def index(self, card_ids: pa.ChunkedArray[Any]) -> NDArray[np.int64]:
        """Return the card index of each transaction, int64 [n]. A new card gets the next index and the empty state."""
        names, codes = distinct(card_ids)
        known = self._indexes
        indexes = np.fromiter((known.setdefault(name, len(known)) for name in names), np.int64, len(names))
        if len(known) > len(self._states):
            grown = np.zeros(max(len(known), 2 * len(self._states)), STATE)
            grown[: len(self._states)] = self._states
            self._states = grown
        return indexes[codes]
