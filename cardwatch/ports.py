"""What is needed of the world. Adapters implement these; each has one contract suite in `tests/contract`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

StateArray = NDArray[np.void]
"""Card states: a structured array of dtype `cardwatch.features.state.STATE`, one element per card."""


class PositionedStates(NamedTuple):
    """n card states of one read. `positions`: int64 [n]; a state holds all of its card's records below its position."""

    states: StateArray
    positions: NDArray[np.int64]


class StoreSize(NamedTuple):
    """How much a feature store holds. `bytes`: of the memory or disk that its cards take, about."""

    cards: int
    bytes: int


class FeatureStore(Protocol):
    """Card states and, per partition, `applied`: the offset up to which the log is folded in. It never leads.

    A state is a function of the log, so (card, offset) says which bytes a card has. Whoever writes them writes the
    same ones, and the only mistake that a store has to prevent is going back. That is why every write is conditional
    on offsets: they only grow, while a card's `sequence` starts anew after a year of silence.

    LMDB and Redis write a batch in one step, all or nothing. DynamoDB writes at most 100 items at once: there a batch
    of more cards takes several transactions, and a crash between two leaves some cards ahead of `applied` (never ahead
    of the committed log, for a batch is applied after its commit). `load_positioned` says which, so that folding the
    gap skips what they hold already, and the end is the same to the byte.

    Every method raises `StoreUnavailable` if the store does not answer, and `StoreRefused` if what it holds has
    another layout than this version's.
    """

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """The states of these distinct cards in this order, the empty state for a card never seen.

        One round trip (DynamoDB: one for each 100 cards, at the same time). The array is the caller's own.
        """
        ...

    def load_positioned(self, partition: int, card_ids: Sequence[str]) -> PositionedStates:
        """`load`, with the offset of `partition` below which each of its cards is folded at least.

        Each state and its position are of one moment. A store that is all or nothing says `applied` for every card.
        """
        ...

    def applied(self, partition: int) -> int:
        """The next offset of `partition` that has not been folded in; 0 for a new store."""
        ...

    def size(self) -> StoreSize:
        """How much it holds, from what the store knows without counting; about right, and of this moment or before."""
        ...

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        """Write the states, which hold the log below `position`, and set `applied` to `position`.

        Raises `StaleWriter`, and changes nothing, if `applied` is not `expected`: what a zombie writes is refused. On
        DynamoDB it is raised as well if a card is folded beyond `position` already, and a batch of more than 99 cards
        may have been written in part; the same call, or folding the gap, completes it.
        """
        ...


class StoreContents(NamedTuple):
    """All of a store at one moment: `applied` by partition, and every card's state, some thousand cards at a time."""

    applied: dict[int, int]
    cards: Iterator[tuple[list[str], StateArray]]


class PortableStore(FeatureStore, Protocol):
    """A feature store that can be written to a snapshot and filled from one."""

    def contents(self) -> AbstractContextManager[StoreContents]:
        """Everything, in bounded memory.

        LMDB shows one moment whatever is written meanwhile. The others cannot: there the iterator raises
        `StoreRefused` at its end if a batch was written meanwhile, or is written by half.
        """
        ...

    def fill(self, contents: StoreContents) -> None:
        """Take over `contents`; raises `StoreRefused` if the store is not empty.

        Until all is written the store cannot be opened, so that nobody goes on from half of it after a crash.
        """
        ...


class Shadow(Struct, frozen=True, kw_only=True):
    """What the challenger would have said about the same rows. Nobody decides by it."""

    model_version: str
    model_digest: str
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]


class Scores(Struct, frozen=True, kw_only=True):
    """What a scorer says about n feature rows.

    `margins`: float32 [n], the model's raw output, higher is riskier. `probabilities`: float64 [n] in 0..1, calibrated.
    `reasons`: per row the reason codes, most important first; empty for rows that need none. `shadow`: the same by the
    challenger, if there is one that is not the champion itself.
    """

    model_version: str
    model_digest: str
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    reasons: list[list[str]]
    shadow: Shadow | None = None


class Scorer(Protocol):
    """Feature rows to probabilities and reasons."""

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        """Score float32 [n, features] rows made under `schema_hash`, or raise `ScoringUnavailable` by the deadline.

        `reasons_above`: float64 [n], from which probability on each row gets reasons: exact ones cost hundreds of
        microseconds. `transaction_ids`: whose rows they are, in their order, for log lines and nothing else.
        """
        ...
