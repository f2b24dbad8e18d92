"""Folding a segment of the log into a feature store without scoring, to bring the store up to the log."""

from __future__ import annotations

import numpy as np

from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.ports import FeatureStore
from cardwatch.records import LogSegment


def fold_segment(store: FeatureStore, partition: int, start: int, segment: LogSegment) -> None:
    """Fold a segment that starts at offset `start` into the store, whose `applied` must equal `start`.

    Transactions that a card's state holds already, because a batch was partly written before a crash, are skipped. The
    empty reference table is sufficient, because card states do not depend on reference tables. Raises `StaleWriter`.
    """
    states, positions = store.load_positioned(partition, segment.cards)
    missing = segment.offsets >= positions[segment.card_index]
    card_index = segment.card_index[missing]
    fold(states, card_index, segment.rows[missing], ReferenceTable.empty())
    touched = np.unique(card_index)
    store.apply(
        partition,
        expected=start,
        position=segment.position,
        card_ids=[segment.cards[card] for card in touched.tolist()],
        states=states[touched],
    )
