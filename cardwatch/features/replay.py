"""Replay: the whole log, or a stretch of it, through the kernel, each transaction with the table that it used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cardwatch.errors import CardwatchError
from cardwatch.features.definitions import FEATURES
from cardwatch.features.kernel import FoldedRows, fold
from cardwatch.features.reference_table import DAY_MS, ReferenceTable


class TableShelf:
    """All tables that there are, each at its place: the empty one at 0, the others by the day they are valid from."""

    def __init__(self, tables: Sequence[ReferenceTable]) -> None:
        self.tables = [ReferenceTable.empty(), *sorted(tables, key=lambda table: table.valid_from_day)]
        self._starts_ms = np.array([table.valid_from_day * DAY_MS for table in self.tables], np.int64)
        self._places = {table.table_id: place for place, table in enumerate(self.tables)}

    def by_rule(self, occurred_at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rule for transactions whose table was not recorded: the newest with `valid_from` <= `occurred_at`.

        Gives places, int64 [n]. A transaction before all of them gets the empty table.
        """
        return np.searchsorted(self._starts_ms, occurred_at_ms, side="right").astype(np.int64) - 1

    def recorded(self, table_ids: Sequence[str]) -> NDArray[np.int64]:
        """The places of the tables that decisions recorded, int64 [n]; raises `CardwatchError` for one that is gone."""
        if gone := next((table_id for table_id in table_ids if table_id not in self._places), None):
            raise CardwatchError(f"a decision used reference table {gone}, which is not stored any more")
        return np.array([self._places[table_id] for table_id in table_ids], np.int64)


def fold_with_tables(
    states: NDArray[np.void],
    card_index: NDArray[np.int64],
    columns: NDArray[np.void],
    tables: Sequence[ReferenceTable],
) -> FoldedRows:
    """`fold`, where transaction i sees `tables[i]`."""
    distinct = list({id(table): table for table in tables}.values())
    places = {id(table): place for place, table in enumerate(distinct)}
    used = np.fromiter((places[id(table)] for table in tables), np.int64, len(tables))
    return fold_by_place(states, card_index, columns, distinct, used)


def fold_by_place(
    states: NDArray[np.void],
    card_index: NDArray[np.int64],
    columns: NDArray[np.void],
    tables: Sequence[ReferenceTable],
    used: NDArray[np.int64],
) -> FoldedRows:
    """`fold`, where transaction i sees `tables[used[i]]`. Log order is kept; a run of one table goes in one call."""
    runs = list(_runs(used))
    if len(runs) == 1:
        return fold(states, card_index, columns, tables[used[0]])
    folded = FoldedRows(
        np.empty((len(columns), len(FEATURES)), np.float32),
        np.empty(len(columns), np.int64),
        np.empty(len(columns), np.bool_),
    )
    for run in runs:
        part = fold(states, card_index[run], columns[run], tables[used[run.start]])
        folded.features[run] = part.features
        folded.sequences[run] = part.sequences
        folded.duplicates[run] = part.duplicates
    return folded


def _runs(used: NDArray[np.int64]) -> Iterator[slice]:
    bounds = [0, *(np.flatnonzero(np.diff(used)) + 1).tolist(), len(used)]
    return (slice(start, stop) for start, stop in pairwise(bounds) if stop > start)
