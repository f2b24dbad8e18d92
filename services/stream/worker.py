"""The stream worker: transactions in, one decision of record each out, in the commit order of the design."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from adapters.kafka import DEAD_LETTERS, DECISIONS, Outgoing, Record
from cardwatch.errors import StaleWriter, StoreLeads
from cardwatch.events import Decision, encode
from cardwatch.ports import FeatureStore
from services.stream.batch import Batch, Tables, fold_batch, fold_gap
from services.stream.deciding import Decider
from services.stream.stopwatch import Stopwatch

log = logging.getLogger(__name__)


class Log(Protocol):
    """What the worker needs of the log, see `adapters.kafka_stream.StreamLog`."""

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """The group's committed offset per partition; partitions without one are left out."""
        ...

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Records and positions in one transaction, or `Superseded`."""
        ...

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        """The records of a stretch of the log."""
        ...


class Counts(NamedTuple):
    """What one step did."""

    decisions: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    degraded: int = 0


class StreamWorker:
    """Owns some partitions of the log, their cards' states in the store, and their decisions."""

    def __init__(self, store: FeatureStore, tables: Tables, decider: Decider) -> None:
        self._store, self._tables, self._decider = store, tables, decider
        self._applied: dict[int, int] = {}
        self.stopwatch = Stopwatch()

    def step(self, topic_log: Log, polled: Mapping[int, Sequence[Record]]) -> Counts:
        """Decide one polled batch, in the commit order of the design:

        1. fold it over states from the store, in memory only;
        2. one scoring call for all of it; if that fails the rules decide and say so;
        3. policy -> decisions;
        4. one Kafka transaction: decisions, dead letters, offsets;
        5. next states and `applied` to the store, if `applied` is still where the batch began.

        Killed before 4 commits, nothing was seen. Killed between 4 and 5, or refused at 5, `catch_up` folds the gap.
        """
        self.stopwatch.start()
        batches = [
            fold_batch(self._store, self._tables, partition, self._applied[partition], records)
            for partition, records in polled.items()
            if partition in self._applied  # else it was taken from us while we polled
        ]
        self.stopwatch.lap("fold")
        decisions = self._decider.decide(batches)
        self.stopwatch.lap("score and decide")
        topic_log.commit(_outgoing(batches, decisions), {batch.partition: batch.position for batch in batches})
        self.stopwatch.lap("commit")
        for batch in batches:
            self._apply(topic_log, batch)
        self.stopwatch.lap("apply")
        return _count(batches, decisions)

    def take(self, topic_log: Log, partitions: Sequence[int]) -> dict[int, int]:
        """Take over partitions: bring the store up to what is committed, and return where to read on."""
        committed = topic_log.committed(partitions)
        for partition in partitions:
            self.catch_up(topic_log, partition, committed.get(partition))
        return {partition: self._applied[partition] for partition in partitions}

    def give_back(self, partitions: Sequence[int]) -> None:
        """Forget partitions that are another worker's now."""
        for partition in partitions:
            self._applied.pop(partition, None)

    def catch_up(self, topic_log: Log, partition: int, committed: int | None) -> None:
        """Fold what was committed but not applied, without scoring. Raises `StoreLeads` if the store is ahead."""
        applied = self._store.applied(partition)
        if committed is not None and applied > committed:
            raise StoreLeads(
                f"transactions[{partition}]: the store has applied up to {applied}, but only {committed} is committed; "
                "it was made from another log: remove it, and it is folded again from this one"
            )
        if committed is not None and applied < committed:
            log.info("transactions[%d]: folding %d..%d, decided but not applied", partition, applied, committed)
            for records in topic_log.read(partition, applied, committed):
                fold_gap(self._store, partition, applied, records)
                applied = records[-1].offset + 1
        self._applied[partition] = applied

    def _apply(self, topic_log: Log, batch: Batch) -> None:
        try:
            self._store.apply(
                batch.partition,
                expected=batch.begins,
                position=batch.position,
                card_ids=batch.cards,
                states=batch.states,
            )
            self._applied[batch.partition] = batch.position
        except StaleWriter as refusal:
            log.warning("transactions[%d] %d..%d: %s", batch.partition, batch.begins, batch.position, refusal)
            self.catch_up(topic_log, batch.partition, topic_log.committed([batch.partition]).get(batch.partition))


def _outgoing(batches: Sequence[Batch], decisions: Sequence[Sequence[Decision]]) -> list[Outgoing]:
    """Decisions and dead letters, to the partition number that their transactions came from."""
    return [
        Outgoing(DECISIONS, decision.partition, decision.transaction.card_id.encode(), encode(decision))
        for of_batch in decisions
        for decision in of_batch
    ] + [
        Outgoing(DEAD_LETTERS, letter.partition, letter.key or b"", encode(letter))
        for batch in batches
        for letter in batch.dead_letters
    ]


def _count(batches: Sequence[Batch], decisions: Sequence[Sequence[Decision]]) -> Counts:
    return Counts(
        decisions=sum(len(of_batch) for of_batch in decisions),
        duplicates=sum(int(batch.folded.duplicates.sum()) for batch in batches),
        dead_letters=sum(len(batch.dead_letters) for batch in batches),
        degraded=sum(decision.degraded for of_batch in decisions for decision in of_batch),
    )
