"""Replay of one partition of the archived log through the feature kernel, batch by batch.

Memory is bounded by one batch of transactions with its feature rows and the states of the cards seen so far (2 KB per
card). Training and `cardwatch replay` use this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.archive.arrow_columns import KERNEL_COLUMNS, arrow_kernel_rows, distinct
from adapters.archive.card_states import CardStates
from adapters.archive.log_files import BATCH_ROWS, log_offsets
from adapters.archive.reader import FileLog
from cardwatch.features.kernel import FoldedRows
from cardwatch.features.replay import ReferenceTables, fold_by_table_index


class ReplayedBatch(NamedTuple):
    """A batch of transactions and its feature rows. The feature rows of duplicates are empty."""

    transactions: pa.Table
    occurred_at_ms: NDArray[np.int64]
    folded: FoldedRows


def replay_partition(
    log: FileLog,
    partition: int,
    reference_tables: ReferenceTables,
    cards: CardStates,
    *,
    further_columns: Sequence[str] = (),
    batch_rows: int = BATCH_ROWS,
) -> Iterator[ReplayedBatch]:
    """Replay one partition and update `cards`. A transaction without a recorded table uses the table of its day.

    All transactions of a card are in one partition, so partitions are independent of each other. The transactions of a
    batch have `KERNEL_COLUMNS` and `further_columns`.
    """
    recorded = _RecordedTables(log.recorded_tables(partition, batch_rows=batch_rows), reference_tables)
    for batch in log.transactions(partition, [*KERNEL_COLUMNS, *further_columns], batch_rows=batch_rows):
        rows = arrow_kernel_rows(batch)
        index = cards.index(batch["card_id"])
        occurred_at_ms = np.ascontiguousarray(rows["occurred_at_ms"])
        used = recorded.override(reference_tables.valid_at(occurred_at_ms), log_offsets(batch))
        yield ReplayedBatch(
            batch, occurred_at_ms, fold_by_table_index(cards.states, index, rows, reference_tables.tables, used)
        )


class _RecordedTables:
    """Reference tables that the decisions of a partition recorded, read in step with its transactions."""

    def __init__(self, decisions: Iterator[pa.Table], reference_tables: ReferenceTables) -> None:
        self._decisions, self._reference_tables = decisions, reference_tables
        self._offsets: NDArray[np.int64] = np.zeros(0, np.int64)
        self._indexes: NDArray[np.int64] = np.zeros(0, np.int64)

    def override(self, by_rule: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the table index of each offset: the recorded one where there is a decision, else that in `by_rule`."""
        self._read_up_to(int(offsets[-1]))
        if not len(self._offsets):
            return by_rule
        nearest = np.minimum(np.searchsorted(self._offsets, offsets), len(self._offsets) - 1)
        used = np.where(self._offsets[nearest] == offsets, self._indexes[nearest], by_rule)
        done = int(np.searchsorted(self._offsets, offsets[-1], side="right"))
        self._offsets, self._indexes = self._offsets[done:], self._indexes[done:]
        return used

    def _read_up_to(self, offset: int) -> None:
        while not len(self._offsets) or self._offsets[-1] < offset:
            batch = next(self._decisions, None)
            if batch is None:
                return
            table_ids, codes = distinct(batch["table_id"])
            self._offsets = np.concatenate([self._offsets, log_offsets(batch)])
            self._indexes = np.concatenate([self._indexes, self._reference_tables.by_id(table_ids)[codes]])
