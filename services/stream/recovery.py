"""Folding of records that are committed but not applied to the store, from the topic or from the archive."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from cardwatch.decision.folding import cards_of
from cardwatch.errors import GapLost
from cardwatch.features.columns import encode
from cardwatch.features.log_segment import fold_segment
from cardwatch.partitioning import Partitioning
from cardwatch.ports import ArchivedLogPort, FeatureStore
from cardwatch.records import LogSegment, Record
from services.stream.batch import decode_records

log = logging.getLogger(__name__)


def fold_records(
    store: FeatureStore, partitioning: Partitioning, partition: int, start: int, records: Sequence[Record]
) -> None:
    """Fold records that have their decisions into the store; the first of them is at offset `start` or after it."""
    admitted, transactions, _ = decode_records(records, partitioning)
    cards, card_index = cards_of(transactions)
    offsets = np.array([record.offset for record in admitted], np.int64)
    fold_segment(
        store, partition, start, LogSegment(records[-1].offset + 1, cards, card_index, offsets, encode(transactions))
    )


def fold_from_archive(
    store: FeatureStore, archive: ArchivedLogPort | None, partition: int, start: int, stop: int
) -> Iterator[int]:
    """Fold [start, stop), which the topic has deleted, and yield the position after each segment.

    Raises `GapLost` if the archive does not hold it either.
    """
    end = archive.ends().get(partition, 0) if archive is not None else 0
    if archive is None or end < stop:
        raise GapLost(
            f"transactions[{partition}]: the store has applied up to {start}, the topic begins at {stop}, and the "
            f"archive holds up to {end}: restore a newer snapshot (cardwatch store restore), or wait for the archive"
        )
    log.info("transactions[%d]: folding %d..%d from the archive", partition, start, stop)
    for segment in archive.parts(partition, start, stop):
        fold_segment(store, partition, start, segment)
        start = segment.position
        yield start
