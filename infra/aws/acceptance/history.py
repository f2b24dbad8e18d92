"""History for a new system: simulated days in the format of the archive job.

There are transactions, labels, reference tables and card states, but no decisions, as for a bank that migrates to the
system. The first champion is trained on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, label_row, transaction_row
from adapters.aws.object_keys import TABLES_PREFIX
from adapters.aws.s3 import Bucket
from adapters.aws.s3_archive import S3Archive
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.feature_store.dynamodb import DynamoDbStore
from cardwatch.events import Transaction
from cardwatch.features.columns import card_index, encode
from cardwatch.features.hashing import identity_hash, identity_hashes
from cardwatch.features.kernel import fold
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.ports import StoreContents
from cardwatch.progress import DayArchived
from cardwatch.simulation.simulation import EventsOfDay
from cardwatch.topics import LABELS, TRANSACTIONS

PARTITIONS: Final = 16
"""Number of partitions of the archived log on AWS; the archive job must place a card in the same partition."""

CARDS_PER_WRITE: Final = 1_000

_DAY: Final = timedelta(days=1)


class SimulatedHistory(Struct, frozen=True, kw_only=True):
    """Result of `write_history`: an archive with its tables in `folder`, and every card's final state."""

    folder: Path
    days: list[DayArchived]
    cards: list[str]
    states: NDArray[np.void]

    @property
    def transactions(self) -> int:
        """Number of transactions."""
        return sum(day.transactions for day in self.days)


def write_history(days: Sequence[EventsOfDay], folder: Path) -> SimulatedHistory:
    """Archive the days in the empty folder, each with the reference table for the following day."""
    builder, tables = ReferenceBuilder(), ReferenceTableStore(folder / "tables")
    ends: defaultdict[tuple[str, int], int] = defaultdict(int)
    archived: list[DayArchived] = []
    with closing(ArchiveWriter(folder / "archive")) as writer:
        for events in days:
            transactions = [
                transaction_row(each, *_next_position(ends, TRANSACTIONS, each.card_id)) for each in events.transactions
            ]
            labels = [label_row(each, *_next_position(ends, LABELS, each.card_id)) for each in events.labels]
            writer.write({TRANSACTIONS: transactions, LABELS: labels}, ends)
            _add_events(builder, events)
            table = builder.build(events.day + _DAY)
            tables.put(table)
            writer.close_day(events.day, table.table_id)
            archived.append(
                DayArchived(
                    day=events.day,
                    transactions=len(transactions),
                    decisions=0,
                    labels=writer.count(LABELS, events.day),
                    table_id=table.table_id,
                )
            )
    cards, states = _fold_states([each for events in days for each in events.transactions])
    return SimulatedHistory(folder=folder, days=archived, cards=cards, states=states)


def store_archive(history: SimulatedHistory, bucket: Bucket) -> None:
    """Store archive, tables and progress records in a new bucket."""
    progress = S3ProgressLog(bucket)
    for day in history.days:
        progress.write(day.day, ProgressPart.ARCHIVE, [day])
    with TemporaryDirectory() as copied:  # a folder remembers what it has stored, not in which bucket
        folder = Path(copied) / "past"
        copytree(history.folder, folder)
        bucket.store_folder(folder / "tables", TABLES_PREFIX)
        S3Archive(bucket, folder / "archive").store()


def store_states(history: SimulatedHistory, url: str) -> None:
    """Write the cards' states to an empty feature store in DynamoDB."""
    starts = range(0, len(history.cards), CARDS_PER_WRITE)
    parts = [slice(start, start + CARDS_PER_WRITE) for start in starts]
    with closing(DynamoDbStore(url)) as store:
        store.fill(StoreContents({}, ((history.cards[part], history.states[part]) for part in parts)))


def _next_position(ends: defaultdict[tuple[str, int], int], topic: str, card_id: str) -> tuple[int, int]:
    """Return partition and offset of the next record of a card, and count it in `ends`."""
    partition = identity_hash(card_id) % PARTITIONS
    ends[topic, partition] += 1
    return partition, ends[topic, partition] - 1


def _add_events(builder: ReferenceBuilder, events: EventsOfDay) -> None:
    cards = identity_hashes([transaction.card_id for transaction in events.transactions])
    builder.add_transactions(encode(events.transactions), cards)
    for label in events.labels:
        builder.add_label(ReferenceLabel.of(label))


def _fold_states(transactions: Sequence[Transaction]) -> tuple[list[str], NDArray[Any]]:
    """Return the cards and their states after these transactions; states do not depend on reference tables."""
    cards, index = card_index([each.card_id for each in transactions])
    states = empty_states(len(cards))
    fold(states, index, encode(transactions), ReferenceTable.empty())
    return cards, states
