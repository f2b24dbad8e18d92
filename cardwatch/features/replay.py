"""Replay: folding transactions that use different reference tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.errors import CardwatchError
from cardwatch.events import EPOCH
from cardwatch.features.definitions import FEATURES
from cardwatch.features.kernel import FoldedRows, fold
from cardwatch.features.reference_table import DAY_MS, ReferenceTable

FORMER_EMPTY_TABLES: Final = frozenset({"4020a9cd78e50eff2565d9170fbf869a", "c7b8714be314166a80fc855a24743f41"})
"""Ids that the empty table had in former stored forms. Decisions from before the first table name them."""


class ReferenceTables:
    """All reference tables by index: the empty one at 0, the others in the order of the days they are valid from.

    `former` gives the ids of tables that were built again in the stored form of this version, and their first days. A
    decision that names one is replayed with the table of the same day.
    """

    def __init__(self, tables: Sequence[ReferenceTable], former: Mapping[str, date] | None = None) -> None:
        self.tables = [ReferenceTable.empty(), *sorted(tables, key=lambda table: table.valid_from_day)]
        self._starts_ms = np.array([table.valid_from_day * DAY_MS for table in self.tables], np.int64)
        starts_ms = np.array([(day - EPOCH.date()).days * DAY_MS for day in (former or {}).values()], np.int64)
        rebuilt = dict(zip(former or {}, self.valid_at(starts_ms).tolist(), strict=True))
        stored = {table.table_id: index for index, table in enumerate(self.tables)}
        self._index_of: dict[str, int] = {**dict.fromkeys(FORMER_EMPTY_TABLES, 0), **rebuilt, **stored}

    def valid_at(self, occurred_at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return per transaction the index, int64 [n], of the newest table with `valid_from` <= `occurred_at`.

        It applies where no decision recorded the table. A transaction before all tables gets the empty one.
        """
        return np.searchsorted(self._starts_ms, occurred_at_ms, side="right").astype(np.int64) - 1

    def by_id(self, table_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the indexes, int64 [n], of recorded tables; raises `CardwatchError` if one is not stored any more."""
        if missing := next((table_id for table_id in table_ids if table_id not in self._index_of), None):
            raise CardwatchError(f"a decision used reference table {missing}, which is not stored any more")
        return np.array([self._index_of[table_id] for table_id in table_ids], np.int64)


def fold_with_tables(
    states: NDArray[np.void], card_index: NDArray[np.int64], columns: NDArray[np.void], tables: Sequence[ReferenceTable]
) -> FoldedRows:
    """Fold as `fold` does, where transaction i uses `tables[i]`."""
    distinct = list({id(table): table for table in tables}.values())
    index_of = {id(table): index for index, table in enumerate(distinct)}
    table_index = np.fromiter((index_of[id(table)] for table in tables), np.int64, len(tables))
    return fold_by_table_index(states, card_index, columns, distinct, table_index)


def fold_by_table_index(
    states: NDArray[np.void],
    card_index: NDArray[np.int64],
    columns: NDArray[np.void],
    tables: Sequence[ReferenceTable],
    table_index: NDArray[np.int64],
) -> FoldedRows:
    """Fold as `fold` does, where transaction i uses `tables[table_index[i]]`.

    The order of the log is kept; consecutive transactions with the same table go to the kernel in one call.
    """
    runs = list(_runs(table_index))
    if len(runs) == 1:
        return fold(states, card_index, columns, tables[table_index[0]])
    folded = FoldedRows(
        np.empty((len(columns), len(FEATURES)), np.float32),
        np.empty(len(columns), np.int64),
        np.empty(len(columns), np.bool_),
    )
    for run in runs:
        part = fold(states, card_index[run], columns[run], tables[table_index[run.start]])
        folded.features[run] = part.features
        folded.sequences[run] = part.sequences
        folded.duplicates[run] = part.duplicates
    return folded


def _runs(table_index: NDArray[np.int64]) -> Iterator[slice]:
    bounds = [0, *(np.flatnonzero(np.diff(table_index)) + 1).tolist(), len(table_index)]
    return (slice(start, stop) for start, stop in pairwise(bounds) if stop > start)
