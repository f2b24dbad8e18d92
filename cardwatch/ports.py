"""What is needed of the world. Adapters implement these; each has one contract suite in `tests/contract`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

StateArray = NDArray[np.void]
"""Card states: a structured array of dtype `cardwatch.features.state.STATE`, one element per card."""


class FeatureStore(Protocol):
    """Card states and, per partition, `applied`: the offset up to which the log is folded in. It never leads."""

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """The states of these cards in this order, the empty state for a card never seen. One round trip."""
        ...

    def applied(self, partition: int) -> int:
        """The next offset of `partition` that has not been folded in; 0 for a new store."""
        ...

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        """Write the states and set `applied` to `position`, all or nothing.

        Raises `StaleWriter`, and changes nothing, if `applied` is not `expected`.
        """
        ...


class Scores(Struct, frozen=True, kw_only=True):
    """What a scorer says about n feature rows.

    `margins`: float32 [n], the model's raw output, higher is riskier. `probabilities`: float64 [n] in 0..1, calibrated.
    `reasons`: per row the reason codes, most important first; empty for rows that need none.
    """

    model_version: str
    model_digest: str
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    reasons: list[list[str]]


class Scorer(Protocol):
    """Feature rows to probabilities and reasons."""

    def score(self, rows: NDArray[np.float32], *, schema_hash: str) -> Scores:
        """Score float32 [n, features] rows made under `schema_hash`, or raise `ScoringUnavailable` by the deadline."""
        ...
