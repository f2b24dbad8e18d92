"""Replay: the whole log, or a stretch of it, through the kernel, each transaction with the table that it used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.kernel import Folded, fold
from cardwatch.features.reference import DAY_MS, ReferenceTable
from cardwatch.features.table import FEATURES


def fold_with_tables(
    states: NDArray[np.void],
    card_index: NDArray[np.int64],
    columns: NDArray[np.void],
    tables: Sequence[ReferenceTable],
) -> Folded:
    """`fold`, where transaction i sees `tables[i]`. Log order is kept; a run of one table goes in one call."""
    folded = Folded(
        np.empty((len(columns), len(FEATURES)), np.float32),
        np.empty(len(columns), np.int64),
        np.empty(len(columns), np.bool_),
    )
    for run in _runs(tables):
        part = fold(states, card_index[run], columns[run], tables[run.start])
        folded.features[run] = part.features
        folded.sequences[run] = part.sequences
        folded.duplicates[run] = part.duplicates
    return folded


def tables_by_rule(occurred_at_ms: NDArray[np.int64], tables: Sequence[ReferenceTable]) -> list[ReferenceTable]:
    """The rule for transactions whose table was not recorded: the newest with `valid_from` <= `occurred_at`.

    A transaction before all of them gets the empty table.
    """
    ordered = [ReferenceTable.empty(), *sorted(tables, key=lambda table: table.valid_from_day)]
    starts_ms = np.array([table.valid_from_day * DAY_MS for table in ordered], np.int64)
    return [ordered[position] for position in np.searchsorted(starts_ms, occurred_at_ms, side="right") - 1]


def _runs(tables: Sequence[ReferenceTable]) -> Iterator[slice]:
    start = 0
    for stop in range(1, len(tables) + 1):
        if stop == len(tables) or tables[stop] is not tables[start]:
            yield slice(start, stop)
            start = stop
