"""The stream worker: transactions in, one decision of record each out, in the commit order of the design."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from adapters.kafka import DEAD_LETTERS, DECISIONS, Outgoing, Record
from cardwatch.errors import StaleWriter, StoreLeads, Superseded
from cardwatch.events import Decision, encode
from cardwatch.features.table_choice import Tables
from cardwatch.ports import FeatureStore
from services.stream.batch import Batch, fold_batch
from services.stream.deciding import Decider
from services.stream.gap import History, fold_from_history, fold_gap
from services.stream.stopwatch import Stopwatch

log = logging.getLogger(__name__)


class Log(Protocol):
    """What the worker needs of the log, see `adapters.kafka_stream.StreamLog`."""

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """The group's committed offset per partition; partitions without one are left out."""
        ...

    def first(self, partition: int) -> int:
        """The offset where the topic begins: retention has deleted what was before it."""
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
    """Owns some partitions of the log, their cards' states in the store, and their decisions.

    `history` has what the topic no longer holds.
    """

    def __init__(self, store: FeatureStore, tables: Tables, decider: Decider, history: History | None = None) -> None:
        self._store, self._tables, self._decider, self._history = store, tables, decider, history
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
        self._require_fresh_states(batches)
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
        """Fold what was committed but not applied, without scoring, and what the topic has deleted from the archive.

        Raises `StoreLeads` if the store is ahead, `GapLost` if neither topic nor archive holds what is missing.
        """
        applied, first = self._store.applied(partition), topic_log.first(partition)
        if committed is not None and applied > max(committed, first):
            raise StoreLeads(
                f"transactions[{partition}]: the store has applied up to {applied}, but only {committed} is committed; "
                "it was made from another log: remove it, and it is folded again from this one"
            )
        if applied < first:
            fold_from_history(self._store, self._history, partition, applied, first)
            applied = first
        if committed is not None and applied < committed:
            log.info("transactions[%d]: folding %d..%d, decided but not applied", partition, applied, committed)
            for records in topic_log.read(partition, applied, committed):
                fold_gap(self._store, partition, applied, records)
                applied = records[-1].offset + 1
        self._applied[partition] = applied

    def _require_fresh_states(self, batches: Sequence[Batch]) -> None:
        """Refuse batches whose states were read from a store that has lost its newest writes by a restart."""
        for batch in batches:
            if (found := self._store.applied(batch.partition)) != batch.begins:
                raise Superseded(
                    f"transactions[{batch.partition}]: the store was at {batch.begins} and is at {found} now; "
                    "it was restarted without its newest writes, or another worker has taken over"
                )

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
