"""The stream worker: transactions in, one decision of record each out, in the commit order of the design."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry

from cardwatch.errors import StaleWriter, StoreLeads, Superseded
from cardwatch.events import Decision, encode
from cardwatch.features.reference_choice import Tables
from cardwatch.ports import FeatureStore
from cardwatch.records import Outgoing, Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS
from services.stream.batch import Batch, fold_batch
from services.stream.decider import Decider
from services.stream.decision_log import DecisionLog
from services.stream.metrics import StreamMetrics
from services.stream.recovery import History, fold_from_history, fold_gap
from services.stream.stopwatch import Stopwatch

log = logging.getLogger(__name__)


class Log(Protocol):
    """What the worker needs of the log, see `adapters.kafka.transactional_log.StreamLog`."""

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """The group's committed offset per partition; partitions without one are left out."""
        ...

    def first(self, partition: int) -> int:
        """The offset where the topic begins: retention has deleted what was before it."""
        ...

    def end(self, partition: int) -> int | None:
        """The offset after the last committed record, as far as it is known without asking; None if it is not."""
        ...

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Records and positions in one transaction, or `Superseded`."""
        ...

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        """The records of a stretch of the log."""
        ...


class StreamWorker:
    """Owns some partitions of the log, their cards' states in the store, and their decisions.

    `history` has what the topic no longer holds. `on_progress` is called during what may take long.
    """

    def __init__(
        self,
        store: FeatureStore,
        tables: Tables,
        decider: Decider,
        history: History | None = None,
        metrics: StreamMetrics | None = None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._tables, self._decider, self._history = store, tables, decider, history
        self._metrics, self._on_progress = metrics or StreamMetrics(CollectorRegistry()), on_progress
        self._applied: dict[int, int] = {}
        self._teller = DecisionLog()
        self.stopwatch = Stopwatch(on_lap=self._metrics.step_took)

    def step(self, topic_log: Log, polled: Mapping[int, Sequence[Record]]) -> None:
        """Decide one polled batch, in the commit order of the design:

        1. fold it over states from the store, in memory only;
        2. one scoring call for all of it; if that fails the rules decide and say so;
        3. policy -> decisions;
        4. one Kafka transaction: decisions, dead letters, offsets;
        5. next states and `applied` to the store, if `applied` is still where the batch began.

        Killed before 4 commits, nothing was seen. Killed between 4 and 5, or refused at 5, `catch_up` folds the gap.
        What was committed is counted and told, whatever becomes of 5.
        """
        self.stopwatch.start()
        batches = [
            fold_batch(self._store, self._tables, partition, self._applied[partition], records)
            for partition, records in polled.items()
            if partition in self._applied  # else it was taken from us while we polled
        ]
        if not batches:
            return
        self._require_fresh_states(batches)
        self.stopwatch.lap("fold")
        decided = self._decider.decide(batches)
        self.stopwatch.lap("score")
        topic_log.commit(_outgoing(batches, decided.decisions), {batch.partition: batch.position for batch in batches})
        self.stopwatch.lap("commit")
        try:
            for batch in batches:
                self._apply(topic_log, batch)
            self.stopwatch.lap("apply")
        finally:
            self._metrics.committed(batches, decided)
            self._teller.tell(batches, decided)

    def take(self, topic_log: Log, partitions: Sequence[int]) -> dict[int, int]:
        """Take over partitions: bring the store up to what is committed, and return where to read on."""
        committed = topic_log.committed(partitions)
        for partition in partitions:
            self.catch_up(topic_log, partition, committed.get(partition))
        self._metrics.owns(len(self._applied))
        return {partition: self._applied[partition] for partition in partitions}

    def give_back(self, partitions: Sequence[int]) -> None:
        """Forget partitions that are another worker's now."""
        for partition in partitions:
            self._applied.pop(partition, None)
            self._metrics.gave_back(partition)
        self._metrics.owns(len(self._applied))

    def give_back_all(self) -> None:
        """Forget every partition: whoever said that they are ours is gone."""
        self._applied.clear()
        self._metrics.gave_back_all()

    def measure(self, topic_log: Log) -> None:
        """Note how far behind the log each partition is, and how large the store; for whoever watches."""
        for partition, position in self._applied.items():
            self._metrics.lag(partition, position, topic_log.end(partition))
        self._metrics.look_at(self._store)

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
        goal = max(committed or 0, first)
        if applied < first:
            for position in fold_from_history(self._store, self._history, partition, applied, first):
                self._caught_up(partition, position, goal)
            applied = first
        self._caught_up(partition, applied, goal)
        if applied < goal:
            log.info("transactions[%d]: folding %d..%d, decided but not applied", partition, applied, goal)
            for records in topic_log.read(partition, applied, goal):
                fold_gap(self._store, partition, applied, records)
                applied = records[-1].offset + 1
                self._caught_up(partition, applied, goal)
        self._applied[partition] = applied
        self._metrics.unapplied(partition, 0)

    def _caught_up(self, partition: int, applied: int, goal: int) -> None:
        self._metrics.unapplied(partition, max(goal - applied, 0))
        self._on_progress()

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
