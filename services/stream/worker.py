"""The stream worker: transactions in, one decision of record each out.

The commit order, on which exactly-once decisions rest, is `StreamWorker.process_batch` and `StreamWorker._commit`. The
polling thread prepares a batch while the committing thread commits and applies the one before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry

from cardwatch.errors import Misconfigured, StaleWriter, StoreLeads, Superseded
from cardwatch.events import Decision, encode
from cardwatch.features.reference_choice import Tables
from cardwatch.partitioning import Partitioning
from cardwatch.ports import ArchivedLogPort, FeatureStore, TransactionalLogPort
from cardwatch.records import Outgoing, Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, TRANSACTIONS
from services.stream.batch import Batch, fold_batch
from services.stream.decision_engine import DecidedBatches, DecisionEngine
from services.stream.decision_log import DecisionLog
from services.stream.metrics import StreamMetrics
from services.stream.recovery import fold_from_archive, fold_records
from services.stream.step_timer import StepTimer
from services.stream.tracing import UNTRACED, BatchTrace, Tracer

log = logging.getLogger(__name__)


OVERLAPPING_RECORDS: Final = 500
"""Size from which on a batch commits while the next one is prepared. After a smaller one the worker polls only when it
is committed: the next batch would be small, too, and its records would wait twice, for this commit and their own."""


class Observers(NamedTuple):
    """The metrics of a worker, what it calls during long recoveries, and what traces its batches, if anything does.

    `before_step` is called before each step of the commit order, in the thread of that step, and may take its time.
    """

    metrics: StreamMetrics
    on_progress: Callable[[], None] = lambda: None
    tracer: Tracer | None = None
    before_step: Callable[[str], None] | None = None


class _Submitted(NamedTuple):
    """Batches, by partition, that the committing thread has got, and their outcome."""

    batches: Mapping[int, Batch]
    outcome: Future[None]


class StreamWorker:
    """Owns some partitions of the log, their cards' states in the store, and their decisions.

    `archive` holds the records that the topic has deleted. A batch of at least `overlap_from` records commits while the
    next one is prepared. All public methods belong to the polling thread.
    """

    def __init__(
        self,
        store: FeatureStore,
        tables: Tables,
        engine: DecisionEngine,
        partitioning: Partitioning,
        archive: ArchivedLogPort | None = None,
        observers: Observers | None = None,
        *,
        overlap_from: int = OVERLAPPING_RECORDS,
    ) -> None:
        self._store, self._tables, self._engine, self._archive = store, tables, engine, archive
        self._partitioning, self._overlap_from = partitioning, overlap_from
        observers = observers or Observers(StreamMetrics(CollectorRegistry()))
        self._metrics, self._on_progress, self._tracer, self._before_step = observers
        self._next: dict[int, int] = {}
        """The offset after the last record that was folded, per partition that is owned."""
        self._committing_thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._submitted: _Submitted | None = None
        self._decision_log = DecisionLog()
        self.timer = StepTimer(on_step=self._metrics.observe_step)

    def process_batch(self, topic_log: TransactionalLogPort, polled: Mapping[int, Sequence[Record]]) -> None:
        """Decide the polled records of some partitions, in the commit order:

        1. fold the batch in memory, over the states that the batch before leaves and those of the store;
        2. one scoring request for the whole batch; if it fails, the rules decide and the decisions say so;
        3. policy -> decisions;
        4. when the batch before is applied: one Kafka transaction with decisions, dead letters and offsets;
        5. write the next states and `applied` to the store, on condition that `applied` is still where the batch began.

        With at least `overlap_from` records, 4 and 5 run on the committing thread, while this method returns and the
        next batch goes through 1 to 3. If 4 or 5 fails, `settle` raises the error at the next call, before anything of
        the next batch is written: it is discarded, because its states rest on this one.

        If the worker is killed before 4 commits, nothing is visible and the batch is decided again from the same
        states. If it is killed between 4 and 5, or 5 is refused, `catch_up` folds the gap. Committed decisions are
        counted and logged even if 5 fails.
        """
        if self._submitted and self._submitted.outcome.done():
            self.settle()
        if not polled:
            return
        trace = self._begin_trace(polled)
        with trace.discarded_on_error():
            with self._step("fold", trace):
                batches = self._fold(polled)
            if not batches:
                trace.end([], [])
                return
            with self._step("score", trace):
                scored = self._engine.score(list(batches.values()))
            with self._step("policy", trace):
                decided = self._engine.apply_policy(scored)
                outgoing = _outgoing(batches.values(), scored.records, decided.decisions, trace)
            with self._step("wait", trace):
                self.settle()
        if sum(len(batch.records) for batch in batches.values()) < self._overlap_from:
            self._commit(topic_log, batches, decided, outgoing, trace)
        else:
            committing = self._committing_thread.submit(self._commit, topic_log, batches, decided, outgoing, trace)
            self._submitted = _Submitted(batches, committing)
        self._next.update({partition: batch.stop for partition, batch in batches.items()})

    def _commit(
        self,
        topic_log: TransactionalLogPort,
        batches: Mapping[int, Batch],
        decided: DecidedBatches,
        outgoing: Sequence[Outgoing],
        trace: BatchTrace,
    ) -> None:
        """Steps 4 and 5 of the commit order. Raises `Superseded` and what log and store raise."""
        with trace.discarded_on_error():
            self._require_fresh_states(batches.values())
            with self._step("commit", trace):
                topic_log.commit(outgoing, {partition: batch.stop for partition, batch in batches.items()})
        try:
            with self._step("apply", trace):
                for batch in batches.values():
                    self._apply(batch)
        finally:
            self._metrics.count_committed(list(batches.values()), decided)
            self._decision_log.log_committed(list(batches.values()), decided)
            trace.end(decided.decisions, [letter for batch in batches.values() for letter in batch.dead_letters])

    def settle(self) -> None:
        """Wait until the batch before is committed and applied. Raises what prevented it."""
        submitted, self._submitted = self._submitted, None
        if submitted is not None:
            submitted.outcome.result()

    def assign_partitions(self, topic_log: TransactionalLogPort, partitions: Sequence[int]) -> dict[int, int]:
        """Take over partitions: bring the store up to the committed offsets, and return the positions to read from.

        Raises `Misconfigured` if the topic has got more partitions than the store's states were built with.
        """
        self.settle()
        self._require_partitions(partitions)
        committed = topic_log.committed(partitions)
        for partition in partitions:
            self.catch_up(topic_log, partition, committed.get(partition))
        self._metrics.set_owned_partitions(len(self._next))
        return {partition: self._next[partition] for partition in partitions}

    def revoke_partitions(self, partitions: Sequence[int]) -> None:
        """Forget partitions that were assigned to another worker, after the batch before is committed or aborted."""
        self._await_commit()
        for partition in partitions:
            self._next.pop(partition, None)
            self._metrics.remove_partition(partition)
        self._metrics.set_owned_partitions(len(self._next))

    def revoke_all_partitions(self) -> None:
        """Forget all partitions, after the batch before is committed or aborted: the connection is to be closed."""
        self._await_commit()
        self._submitted = None
        self._next.clear()
        self._metrics.remove_all_partitions()

    def update_gauges(self, topic_log: TransactionalLogPort) -> None:
        """Set the gauges of lag and store size."""
        for partition, position in self._next.items():
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
                self._metrics.count_refolded(partition, records[-1].offset + 1 - applied)
                applied = records[-1].offset + 1
                self._report_progress(partition, applied, goal)
        self._next[partition] = applied
        self._metrics.set_unapplied(partition, 0)

    def _require_partitions(self, assigned: Sequence[int]) -> None:
        found = max([self._partitioning.partitions, *(number + 1 for number in assigned)])
        recorded = self._store.record_partitions(found)
        if not recorded == found == self._partitioning.partitions:
            raise Misconfigured(
                f"the topic {TRANSACTIONS} has {found} partitions, but the states in the feature store were built with "
                f"{recorded}, so that cards would lose their history: see docs/runbook/wrong-partition.md"
            )

    def _begin_trace(self, polled: Mapping[int, Sequence[Record]]) -> BatchTrace:
        trace = self._tracer.begin(polled) if self._tracer else None
        return trace or UNTRACED

    @contextmanager
    def _step(self, name: str, trace: BatchTrace) -> Iterator[None]:
        if self._before_step is not None:
            self._before_step(name)
        with self.timer.step(name), trace.step(name):
            yield

    def _report_progress(self, partition: int, applied: int, goal: int) -> None:
        self._metrics.set_unapplied(partition, max(goal - applied, 0))
        self._on_progress()

    def _fold(self, polled: Mapping[int, Sequence[Record]]) -> dict[int, Batch]:
        """Step 1 of the commit order."""
        before = self._submitted.batches if self._submitted else {}
        return {
            partition: fold_batch(
                self._store,
                self._tables,
                self._partitioning,
                partition,
                self._next[partition],
                records,
                before.get(partition),
            )
            for partition, records in polled.items()
            if partition in self._next  # a partition may have been revoked during the poll
        }

    def _await_commit(self) -> None:
        """Wait until the batch before is committed and applied, or has failed, which `settle` raises."""
        if self._submitted is not None:
            wait([self._submitted.outcome])

    def _require_fresh_states(self, batches: Iterable[Batch]) -> None:
        """Raise `Superseded` if `applied` is not where a batch began: the store has lost its newest writes."""
        for batch in batches:
            if (found := self._store.applied(batch.partition)) != batch.start:
                raise Superseded(
                    f"transactions[{batch.partition}]: the store was at {batch.start} and is at {found} now; "
                    "it was restarted without its newest writes, or another worker has taken over"
                )

    def _apply(self, batch: Batch) -> None:
        try:
            self._store.apply(
                batch.partition, expected=batch.start, position=batch.stop, card_ids=batch.cards, states=batch.states
            )
        except StaleWriter as refusal:
            # The decisions are committed: the next start folds the records for which the store has no states.
            raise Superseded(f"transactions[{batch.partition}] {batch.start}..{batch.stop}: {refusal}") from refusal


def _outgoing(
    batches: Iterable[Batch], records: Sequence[Record], decisions: Sequence[Decision], trace: BatchTrace
) -> list[Outgoing]:
    """Return decisions and dead letters as records for the partition number that their transactions came from.

    `records` hold the transactions of `decisions`, in the same order.
    """
    return [
        Outgoing(
            DECISIONS,
            decision.partition,
            decision.transaction.card_id.encode(),
            encode(decision),
            trace.headers(record.partition, record.offset, record.headers),
        )
        for record, decision in zip(records, decisions, strict=True)
    ] + [
        Outgoing(
            DEAD_LETTERS,
            letter.partition,
            letter.key or b"",
            encode(letter),
            trace.headers(letter.partition, letter.offset, ()),
        )
        for batch in batches
        for letter in batch.dead_letters
    ]
