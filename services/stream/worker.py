"""The stream worker: transactions in, one decision of record each out.

The commit order, on which exactly-once decisions rest, is `StreamWorker.process_batch`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry

from cardwatch.errors import Misconfigured, StaleWriter, StoreLeads, Superseded
from cardwatch.events import Decision, encode
from cardwatch.features.reference_choice import Tables
from cardwatch.partitioning import Partitioning
from cardwatch.ports import ArchivedLogPort, FeatureStore, TransactionalLogPort
from cardwatch.records import Outgoing, Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, TRANSACTIONS
from services.stream.batch import Batch, fold_batch
from services.stream.decision_engine import DecisionEngine
from services.stream.decision_log import DecisionLog
from services.stream.metrics import StreamMetrics
from services.stream.recovery import fold_from_archive, fold_records
from services.stream.step_timer import StepTimer

log = logging.getLogger(__name__)


class StreamWorker:
    """Owns some partitions of the log, their cards' states in the store, and their decisions.

    `archive` holds the records that the topic has deleted. `on_progress` is called during long recoveries.
    """

    def __init__(
        self,
        store: FeatureStore,
        tables: Tables,
        engine: DecisionEngine,
        partitioning: Partitioning,
        archive: ArchivedLogPort | None = None,
        metrics: StreamMetrics | None = None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._tables, self._engine, self._archive = store, tables, engine, archive
        self._partitioning = partitioning
        self._metrics, self._on_progress = metrics or StreamMetrics(CollectorRegistry()), on_progress
        self._applied: dict[int, int] = {}
        self._decision_log = DecisionLog()
        self.timer = StepTimer(on_step=self._metrics.observe_step)

    def process_batch(self, topic_log: TransactionalLogPort, polled: Mapping[int, Sequence[Record]]) -> None:
        """Decide the polled records of some partitions, in the commit order:

        1. fold the batch over states read from the store, in memory only;
        2. one scoring request for the whole batch; if it fails, the rules decide and the decisions say so;
        3. policy -> decisions;
        4. one Kafka transaction: decisions, dead letters and offsets;
        5. write the next states and `applied` to the store, on condition that `applied` is still where the batch began.

        If the worker is killed before 4 commits, nothing is visible and the batch is decided again from the same
        states. If it is killed between 4 and 5, or 5 is refused, `catch_up` folds the gap. Committed decisions are
        counted and logged even if 5 fails.
        """
        self.timer.start()
        batches = [
            fold_batch(self._store, self._tables, self._partitioning, partition, self._applied[partition], records)
            for partition, records in polled.items()
            if partition in self._applied  # a partition may have been revoked during the poll
        ]
        if not batches:
            return
        self._require_fresh_states(batches)
        self.timer.end_step("fold")
        decided = self._engine.decide(batches)
        self.timer.end_step("score")
        topic_log.commit(_outgoing(batches, decided.decisions), {batch.partition: batch.stop for batch in batches})
        self.timer.end_step("commit")
        try:
            for batch in batches:
                self._apply(topic_log, batch)
            self.timer.end_step("apply")
        finally:
            self._metrics.count_committed(batches, decided)
            self._decision_log.log_committed(batches, decided)

    def assign_partitions(self, topic_log: TransactionalLogPort, partitions: Sequence[int]) -> dict[int, int]:
        """Take over partitions: bring the store up to the committed offsets, and return the positions to read from.

        Raises `Misconfigured` if the topic has got more partitions than the store's states were built with.
        """
        self._require_partitions(partitions)
        committed = topic_log.committed(partitions)
        for partition in partitions:
            self.catch_up(topic_log, partition, committed.get(partition))
        self._metrics.set_owned_partitions(len(self._applied))
        return {partition: self._applied[partition] for partition in partitions}

    def revoke_partitions(self, partitions: Sequence[int]) -> None:
        """Forget partitions that were assigned to another worker."""
        for partition in partitions:
            self._applied.pop(partition, None)
            self._metrics.remove_partition(partition)
        self._metrics.set_owned_partitions(len(self._applied))

    def revoke_all_partitions(self) -> None:
        """Forget all partitions: the connection to the group is closed."""
        self._applied.clear()
        self._metrics.remove_all_partitions()

    def update_gauges(self, topic_log: TransactionalLogPort) -> None:
        """Set the gauges of lag and store size."""
        for partition, position in self._applied.items():
            self._metrics.set_lag(partition, position, topic_log.end(partition))
        self._metrics.update_store_size(self._store)

    def catch_up(self, topic_log: TransactionalLogPort, partition: int, committed: int | None) -> None:
        """Fold the records that are committed but not applied, without scoring; deleted ones come from the archive.

        Raises `StoreLeads` if the store is ahead, `GapLost` if neither topic nor archive holds the records.
        """
        applied, first = self._store.applied(partition), topic_log.first(partition)
        if committed is not None and applied > max(committed, first):
            raise StoreLeads(
                f"transactions[{partition}]: the store has applied up to {applied}, but only {committed} is committed; "
                "the store belongs to another log; delete it, and the worker rebuilds it from this one"
            )
        goal = max(committed or 0, first)
        if applied < first:
            for position in fold_from_archive(self._store, self._archive, partition, applied, first):
                self._report_progress(partition, position, goal)
            applied = first
        self._report_progress(partition, applied, goal)
        if applied < goal:
            log.info("transactions[%d]: folding %d..%d, decided but not applied", partition, applied, goal)
            for records in topic_log.read(partition, applied, goal):
                fold_records(self._store, self._partitioning, partition, applied, records)
                applied = records[-1].offset + 1
                self._report_progress(partition, applied, goal)
        self._applied[partition] = applied
        self._metrics.set_unapplied(partition, 0)

    def _require_partitions(self, assigned: Sequence[int]) -> None:
        found = max([self._partitioning.partitions, *(number + 1 for number in assigned)])
        recorded = self._store.record_partitions(found)
        if not recorded == found == self._partitioning.partitions:
            raise Misconfigured(
                f"the topic {TRANSACTIONS} has {found} partitions, but the states in the feature store were built with "
                f"{recorded}, so that cards would lose their history: see docs/runbook/wrong-partition.md"
            )

    def _report_progress(self, partition: int, applied: int, goal: int) -> None:
        self._metrics.set_unapplied(partition, max(goal - applied, 0))
        self._on_progress()

    def _require_fresh_states(self, batches: Sequence[Batch]) -> None:
        """Raise `Superseded` if `applied` is not where a batch began: the store has lost its newest writes."""
        for batch in batches:
            if (found := self._store.applied(batch.partition)) != batch.start:
                raise Superseded(
                    f"transactions[{batch.partition}]: the store was at {batch.start} and is at {found} now; "
                    "it was restarted without its newest writes, or another worker has taken over"
                )

    def _apply(self, topic_log: TransactionalLogPort, batch: Batch) -> None:
        try:
            self._store.apply(
                batch.partition, expected=batch.start, position=batch.stop, card_ids=batch.cards, states=batch.states
            )
            self._applied[batch.partition] = batch.stop
        except StaleWriter as refusal:
            log.warning("transactions[%d] %d..%d: %s", batch.partition, batch.start, batch.stop, refusal)
            self.catch_up(topic_log, batch.partition, topic_log.committed([batch.partition]).get(batch.partition))


def _outgoing(batches: Sequence[Batch], decisions: Sequence[Decision]) -> list[Outgoing]:
    """Return decisions and dead letters as records for the partition number that their transactions came from."""
    return [
        Outgoing(DECISIONS, decision.partition, decision.transaction.card_id.encode(), encode(decision))
        for decision in decisions
    ] + [
        Outgoing(DEAD_LETTERS, letter.partition, letter.key or b"", encode(letter))
        for batch in batches
        for letter in batch.dead_letters
    ]
