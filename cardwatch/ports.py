"""Ports: the interfaces that adapters implement. Stores and scorers have a contract suite each in `tests/contract`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.records import LogSegment, Outgoing, Record

StateArray = NDArray[np.void]
"""Card states: a structured array of dtype `cardwatch.features.state.STATE`, one element per card."""


class PositionedStates(NamedTuple):
    """n card states of one read. `positions`: int64 [n]; a state contains its card's records below its position."""

    states: StateArray
    positions: NDArray[np.int64]


class StoreSize(NamedTuple):
    """Size of a feature store. `bytes` is the approximate memory or disk space of its cards."""

    cards: int
    bytes: int


class FeatureStore(Protocol):
    """Card states and, per partition, `applied`: the next offset to apply. It is never ahead of the log.

    A state is a function of the log, so (card, offset) determines its bytes and all writers write the same ones.
    A store only has to prevent an older state from overwriting a newer one. Therefore every write is conditional on
    offsets, which only grow, while a card's `sequence` restarts after a year without transactions.

    LMDB and Redis write a batch atomically. DynamoDB writes at most 100 items in a transaction. A larger batch takes
    several, and a crash between two of them leaves some cards ahead of `applied`, but never ahead of the committed log,
    because a batch is applied after its commit. `load_positioned` returns their positions, so that folding the gap
    skips the records that they contain, and the resulting states are identical to the byte.

    Every method raises `StoreUnavailable` if the store does not answer, and `StoreRefused` if its states have another
    layout than this version's.
    """

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """Return the states of distinct cards in the given order, the empty state for a new card.

        It takes one round trip (DynamoDB: one per 100 cards, concurrently). The caller may change the array.
        """

    def load_positioned(self, partition: int, card_ids: Sequence[str]) -> PositionedStates:
        """Return the states as `load` does, each with the offset of `partition` below which it contains all records.

        Each state is consistent with its position. A store with atomic batches returns `applied` for every card.
        """

    def applied(self, partition: int) -> int:
        """Return the next offset of `partition` that is not folded in; 0 for a new store."""

    def record_partitions(self, partitions: int) -> int:
        """Return the recorded number of partitions of the log; a store without one records `partitions` first."""
        ...

    def size(self) -> StoreSize:
        """Return the approximate size from the store's own statistics, which may be some hours old."""

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        """Write the states, which contain the log below `position`, and set `applied` to `position`.

        Raises `StaleWriter` without any change if `applied` is not `expected`, which refuses writes of a superseded
        worker. On DynamoDB it is raised too if a card is folded beyond `position`, and a batch of more than 99 cards
        may be written in part then. The same call, or folding the gap, completes it.
        """


class StoreContents(NamedTuple):
    """Consistent contents of a store: `applied` per partition, and all states in chunks of some thousand cards."""

    applied: dict[int, int]
    cards: Iterator[tuple[list[str], StateArray]]


class PortableStore(FeatureStore, Protocol):
    """A feature store that can be written to a snapshot and filled from one."""

    def contents(self) -> AbstractContextManager[StoreContents]:
        """Return the contents of the store, read in bounded memory.

        LMDB reads a consistent snapshot. With other stores, the iterator raises `StoreRefused` at its end if a batch
        was written during the reading, or is half-written.
        """

    def fill(self, contents: StoreContents) -> None:
        """Write `contents` to the store. Raises `StoreRefused` if the store is not empty.

        The store cannot be opened until all is written, so that a partly filled store is never used after a crash.
        """


class Shadow(Struct, frozen=True, kw_only=True):
    """Scores of the version in shadow for the same rows. They do not influence decisions."""

    model_version: str
    model_digest: str
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]


class Canary(Struct, frozen=True, kw_only=True):
    """Scores of the canary for the same rows, and the share of the cards that it decides, in 0..1."""

    model_version: str
    model_digest: str
    share: float
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    reasons: list[list[str]]


class Scores(Struct, frozen=True, kw_only=True):
    """Scores of n feature rows by the champion.

    `margins`: float32 [n], the model's raw output, higher is riskier. `probabilities`: float64 [n] in 0..1, calibrated.
    `reasons`: per row the reason codes, most important first; empty for rows below their threshold. `shadow`: the
    scores of the version in shadow, if there is one; `canary`: those of the canary. There is only one of both.
    """

    model_version: str
    model_digest: str
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    reasons: list[list[str]]
    shadow: Shadow | None = None
    canary: Canary | None = None


class Scorer(Protocol):
    """Scores feature rows: probabilities and reason codes."""

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        """Score float32 [n, features] rows of the schema `schema_hash`, or raise `ScoringUnavailable` by the deadline.

        `reasons_above`: float64 [n], the probability from which a row gets reasons, because exact reasons take hundreds
        of microseconds. `transaction_ids`: the transactions of the rows, for log lines only.
        """


class TransactionalLogPort(Protocol):
    """The topic `transactions` and the offsets of the stream workers' group."""

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offset per partition; partitions without one are left out."""

    def first(self, partition: int) -> int:
        """Return the offset where the topic begins: retention has deleted the records before it."""

    def end(self, partition: int) -> int | None:
        """Return the offset after the last committed record as of the newest fetch; None before the first fetch."""

    def pause(self, partitions: Sequence[int]) -> None:
        """Fetch and return no records of these partitions, which remain assigned, until `resume`."""

    def resume(self, partitions: Sequence[int]) -> None:
        """Continue paused partitions after the last record that was returned."""

    def seek(self, positions: Mapping[int, int]) -> None:
        """Continue assigned partitions at these offsets."""

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Commit records and positions in one transaction, or raise `Superseded`.

        It may run on another thread than the other methods, at the same time.
        """

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        """Yield the records of [start, stop) in log order."""


class ArchivedLogPort(Protocol):
    """The part of the log that was archived."""

    def ends(self) -> dict[int, int]:
        """Return the next offset that is not archived yet, per partition."""

    def parts(self, partition: int, start: int, stop: int) -> Iterator[LogSegment]:
        """Yield the transactions of [start, stop) in log order; the last segment's position is `stop`."""
