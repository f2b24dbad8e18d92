"""Bringing a feature store up to the log: folding a part of it that was decided before, without scoring."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.ports import FeatureStore


class LogSegment(NamedTuple):
    """n transactions of one partition in log order, and the offset `position` after them.

    `cards`: the distinct cards; `card_index`: int64 [n], whose card each is; `offsets`: int64 [n]; `rows`: dtype
    COLUMNS [n].
    """

    position: int
    cards: list[str]
    card_index: NDArray[np.int64]
    offsets: NDArray[np.int64]
    rows: NDArray[np.void]


def fold_segment(store: FeatureStore, partition: int, begins: int, part: LogSegment) -> None:
    """Fold a part of the log that begins at offset `begins`, where `applied` must be, into the store.

    What a card's state holds already, because a batch was written by half before a crash, is left out: exactly,
    however many transactions that are. Tables and models play no part, for states know neither. Raises `StaleWriter`.
    """
    states, positions = store.load_positioned(partition, part.cards)
    missing = part.offsets >= positions[part.card_index]
    card_index = part.card_index[missing]
    fold(states, card_index, part.rows[missing], ReferenceTable.empty())
    touched = np.unique(card_index)
    store.apply(
        partition,
        expected=begins,
        position=part.position,
        card_ids=[part.cards[card] for card in touched.tolist()],
        states=states[touched],
    )
