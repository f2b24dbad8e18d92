"""Closing the gap between what is committed and what the store has applied, from the topic or from the archive."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from cardwatch.errors import GapLost
from cardwatch.features.columns import card_index, encode
from cardwatch.features.log_segment import LogSegment, fold_segment
from cardwatch.ports import FeatureStore
from cardwatch.records import Record
from services.stream.batch import sort_out

log = logging.getLogger(__name__)


class History(Protocol):
    """Where the log is kept that the topic no longer holds, see `adapters.archive.archived_log.ArchivedLog`."""

    def ends(self) -> dict[int, int]:
        """Per partition the next offset that it does not hold yet."""
        ...

    def parts(self, partition: int, start: int, stop: int) -> Iterator[LogSegment]:
        """The transactions of [start, stop) in log order; the last part's position is `stop`."""
        ...


def fold_gap(store: FeatureStore, partition: int, begins: int, records: Sequence[Record]) -> None:
    """Fold records that were decided before into the store; the first of them is the one at `begins` or after it."""
    good, transactions, _ = sort_out(records)
    cards, index = card_index([transaction.card_id for transaction in transactions])
    offsets = np.array([record.offset for record in good], np.int64)
    part = LogSegment(records[-1].offset + 1, cards, index, offsets, encode(transactions))
    fold_segment(store, partition, begins, part)


def fold_from_history(
    store: FeatureStore, history: History | None, partition: int, begins: int, stop: int
) -> Iterator[int]:
    """Fold [begins, stop), which the topic has deleted, and give the position after each part of it.

    Raises `GapLost` if the archive does not hold it either.
    """
    held = history.ends().get(partition, 0) if history is not None else 0
    if history is None or held < stop:
        raise GapLost(
            f"transactions[{partition}]: the store has applied up to {begins}, the topic begins at {stop}, and the "
            f"archive holds up to {held}: restore a newer snapshot (cardwatch store restore), or wait for the archive"
        )
    log.info("transactions[%d]: folding %d..%d from the archive", partition, begins, stop)
    for part in history.parts(partition, begins, stop):
        fold_segment(store, partition, begins, part)
        begins = part.position
        yield begins
