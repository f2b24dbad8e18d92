"""One partition of the archived log through the kernel, batch by batch, in bounded memory.

What is in memory: one batch of transactions with its feature rows, and the states of the cards met so far (2 KB each).
Training and `cardwatch replay` both stand on this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.archive.arrow_columns import KERNEL_COLUMNS, arrow_kernel_rows, distinct
from adapters.archive.log_files import BATCH_ROWS, log_offsets
from cardwatch.features.kernel import FoldedRows
from cardwatch.features.replay import TableShelf, fold_by_place
from cardwatch.features.state import STATE, empty_states


class ReplayableLog(Protocol):
    """What is needed of the archived log (`adapters.archive.reader.ArchivedLog`)."""

    @property
    def partitions(self) -> list[int]:
        """The partitions of the log, in order."""
        ...

    def transactions(self, partition: int, columns: Sequence[str], *, batch_rows: int) -> Iterator[pa.Table]:
        """One partition's transactions by offset: these columns, and their place in the log."""
        ...

    def recorded_tables(self, partition: int, *, batch_rows: int) -> Iterator[pa.Table]:
        """`log_offset` and `table_id` of one partition's decisions, by the offset of the transaction."""
        ...


class Replayed(NamedTuple):
    """A batch of transactions with what the kernel made of them. Duplicates have feature rows without values."""

    transactions: pa.Table
    occurred_at_ms: NDArray[np.int64]
    folded: FoldedRows


class CardStates:
    """The states of the cards of one partition, in the order in which they were met."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._states = empty_states(0)

    @property
    def cards(self) -> list[str]:
        """The cards met so far."""
        return list(self._places)

    @property
    def states(self) -> NDArray[np.void]:
        """Their states, dtype STATE [cards]; what `fold` changes."""
        return self._states[: len(self._places)]

    def index(self, card_ids: pa.ChunkedArray[Any]) -> NDArray[np.int64]:
        """Per transaction the place of its card; a card never met gets the next place and the empty state."""
        names, codes = distinct(card_ids)
        places = np.fromiter((self._places.setdefault(name, len(self._places)) for name in names), np.int64, len(names))
        if len(self._places) > len(self._states):
            grown = np.zeros(max(len(self._places), 2 * len(self._states)), STATE)
            grown[: len(self._states)] = self._states
            self._states = grown
        return places[codes]


def replay_partition(
    log: ReplayableLog,
    partition: int,
    shelf: TableShelf,
    cards: CardStates,
    *,
    columns: Sequence[str] = (),
    batch_rows: int = BATCH_ROWS,
) -> Iterator[Replayed]:
    """Fold one partition into `cards`, each transaction with its recorded table, else the table by the rule.

    `columns` are read beside those that the kernel needs. A card lives in one partition, so partitions are
    independent of each other.
    """
    recorded = _RecordedTables(log.recorded_tables(partition, batch_rows=batch_rows), shelf)
    for batch in log.transactions(partition, [*KERNEL_COLUMNS, *columns], batch_rows=batch_rows):
        rows = arrow_kernel_rows(batch)
        index = cards.index(batch["card_id"])
        occurred_at_ms = np.ascontiguousarray(rows["occurred_at_ms"])
        used = recorded.laid_over(shelf.by_rule(occurred_at_ms), log_offsets(batch))
        yield Replayed(batch, occurred_at_ms, fold_by_place(cards.states, index, rows, shelf.tables, used))


class _RecordedTables:
    """The decisions of a partition, read as far as its transactions have been."""

    def __init__(self, decisions: Iterator[pa.Table], shelf: TableShelf) -> None:
        self._decisions, self._shelf = decisions, shelf
        self._offsets: NDArray[np.int64] = np.zeros(0, np.int64)
        self._places: NDArray[np.int64] = np.zeros(0, np.int64)

    def laid_over(self, ruled: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The recorded place for the offsets that have a decision, the ruled one for the others."""
        self._read_up_to(int(offsets[-1]))
        if not len(self._offsets):
            return ruled
        nearest = np.minimum(np.searchsorted(self._offsets, offsets), len(self._offsets) - 1)
        used = np.where(self._offsets[nearest] == offsets, self._places[nearest], ruled)
        done = int(np.searchsorted(self._offsets, offsets[-1], side="right"))
        self._offsets, self._places = self._offsets[done:], self._places[done:]
        return used

    def _read_up_to(self, offset: int) -> None:
        while not len(self._offsets) or self._offsets[-1] < offset:
            batch = next(self._decisions, None)
            if batch is None:
                return
            table_ids, codes = distinct(batch["table_id"])
            self._offsets = np.concatenate([self._offsets, log_offsets(batch)])
            self._places = np.concatenate([self._places, self._shelf.recorded(table_ids)[codes]])
