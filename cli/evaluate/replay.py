"""The feature rows of a data set, by the one kernel and day after day, as the archive makes its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURES
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.kernel import fold
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.state import empty_states
from cardwatch.label_maturity import DEFAULT_MATURITY_DAYS
from cli.evaluate.dataset import Dataset
from models.prequential import to_date

Report = Callable[[str], object]
"""Told in a few words what is being done."""


class FeatureRows(NamedTuple):
    """Feature rows, float32 [n, features], of the transactions of a data set from position `offset` on."""

    features: NDArray[np.float32]
    offset: int

    def at(self, positions: NDArray[np.int64], left_out: tuple[int, ...] = ()) -> NDArray[np.float32]:
        """A copy of the rows of these transactions; the features `left_out` (positions in a row) are missing."""
        rows = self.features[positions - self.offset]
        rows[:, left_out] = np.nan
        return rows


def feature_rows(
    dataset: Dataset, *, first_day: int, until_day: int, report: Report, maturity_days: int = DEFAULT_MATURITY_DAYS
) -> FeatureRows:
    """The rows from `first_day` to before `until_day` (days since 1970). The days before them only warm the states.

    The table of a day is built from the transactions before the day and the frauds known when it begins, where labels
    are complete after `maturity_days`.
    """
    first, last = np.searchsorted(dataset.days, [first_day, until_day])
    features = np.empty((last - first, len(FEATURES)), np.float32)
    states, tables = empty_states(dataset.card_count), ReferenceBuilder(maturity_days)
    card_hashes = identity_hashes(dataset.card_names.tolist())
    for rows in _day_slices(dataset.days[:last]):
        day = to_date(int(dataset.days[rows.start]))
        report(f"features of {day}")
        columns = dataset.kernel[rows]
        folded = fold(states, dataset.cards[rows], columns, tables.build(day))
        tables.add_transactions(columns, card_hashes[dataset.cards[rows]])
        _add_frauds(tables, dataset, rows, columns, card_hashes)
        if rows.start >= first:
            features[rows.start - first : rows.stop - first] = folded.features
    return FeatureRows(features, int(first))


def _add_frauds(
    tables: ReferenceBuilder,
    dataset: Dataset,
    rows: slice,
    columns: NDArray[np.void],
    card_hashes: NDArray[np.uint64],
) -> None:
    for at in np.flatnonzero(dataset.is_fraud[rows]).tolist():
        row = rows.start + at
        tables.add_label(
            ReferenceLabel(
                observed_at_ms=int(dataset.observed_at_ms[row]),
                is_fraud=True,
                occurred_at_ms=int(columns["occurred_at_ms"][at]),
                transaction=int(columns["transaction_hash"][at]),
                merchant=int(columns["merchant_hash"][at]),
                card=int(card_hashes[dataset.cards[row]]),
            )
        )


def _day_slices(days: NDArray[np.int64]) -> Iterator[slice]:
    bounds = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    return (slice(start, stop) for start, stop in pairwise(bounds))
