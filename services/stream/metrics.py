"""Prometheus metrics of a stream worker. Only committed batches are counted."""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from math import nan
from typing import Final

import numpy as np
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from cardwatch.admission import is_in_wrong_partition
from cardwatch.decision.decide import DegradationCause
from cardwatch.errors import CardwatchError
from cardwatch.events import Action
from cardwatch.ports import FeatureStore
from services.stream.batch import Batch
from services.stream.batch_histogram import BatchHistogram
from services.stream.decision_engine import DecidedBatches

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STEP_BUCKETS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)
STORE_SIZE_SECONDS: Final = 10.0
"""Time between two queries for the store's size, which cost Redis and DynamoDB a round trip."""
STEPS: Final = ("fold", "score", "policy", "wait", "commit", "apply")
RESTART_CAUSES: Final = ("superseded", "broker", "store")
DEGRADATION_CAUSES: Final = tuple(cause for cause in DegradationCause if cause is not DegradationCause.STORE)
"""The stream worker decides nothing without the feature store."""

log = logging.getLogger(__name__)


class StreamMetrics:
    """The metrics, once per registry; not thread-safe. `now_seconds` is a monotonic clock."""

    def __init__(
        self, registry: CollectorRegistry = REGISTRY, *, now_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._now_seconds = now_seconds
        self._next_size_query = now_seconds()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self._decisions = counter("cardwatch_stream_decisions", "Decisions of record.", ["action", "degraded"])
        self._degraded = counter("cardwatch_stream_degraded", "Decisions that the rules made, and why.", ["cause"])
        self._amounts = counter(
            "cardwatch_stream_amount_minor",
            "Amounts decided upon, in minor units of the currency.",
            ["action", "currency"],
        )
        self._repeats = counter("cardwatch_stream_repeats", "Transactions that had been decided before.")
        self._dead_letters = counter("cardwatch_stream_dead_letters", "Records that are no transactions.")
        self._wrong_partition = counter(
            "cardwatch_stream_wrong_partition",
            "Records in another partition than their key belongs to; each is a dead letter.",
        )
        self._latency = BatchHistogram(
            "cardwatch_stream_latency_seconds",
            "From a transaction's arrival in the log to its decision.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._steps = histogram(
            "cardwatch_stream_step_seconds",
            "Time of a batch in each step of the commit order.",
            ["step"],
            buckets=STEP_BUCKETS,
        )
        self._batch = histogram("cardwatch_stream_batch_transactions", "Size of a batch.", buckets=BATCH_BUCKETS)
        self._lag = gauge(
            "cardwatch_stream_lag_records", "From the next position to the end of the log.", ["partition"]
        )
        self._unapplied = gauge(
            "cardwatch_stream_unapplied_records", "Committed, but not yet folded into the store.", ["partition"]
        )
        self._refolded = counter(
            "cardwatch_stream_refolded_records",
            "Decided before this worker took over, and folded again because the store did not have them.",
            ["partition"],
        )
        self._partitions = gauge("cardwatch_stream_partitions", "Partitions that this worker owns.")
        self._restarts = counter(
            "cardwatch_stream_restarts", "Started again from what is committed, and why.", ["cause"]
        )
        self._store_bytes = gauge("cardwatch_store_bytes", "Size of the feature store.")
        self._store_cards = gauge("cardwatch_store_cards", "Cards in the feature store.")
        self._initialize_labels()

    def observe_step(self, step: str, seconds: float) -> None:
        """Observe the duration of a step of the commit order."""
        self._steps.labels(step).observe(seconds)

    def count_committed(self, batches: Sequence[Batch], decided: DecidedBatches) -> None:
        """Count the decisions, repeats and dead letters of committed batches."""
        decisions: Tally[tuple[str, bool]] = Tally()
        amounts: Tally[tuple[str, str]] = Tally()
        for decision in decided.decisions:
            action, transaction = decision.action.value, decision.transaction
            decisions[action, decision.degraded] += 1
            amounts[action, transaction.currency] += transaction.amount_minor
        latencies_ms = np.array([decision.latency_ms for decision in decided.decisions], np.float64)
        self._latency.observe(latencies_ms / 1000.0)
        for (action, degraded), number in decisions.items():
            self._decisions.labels(action, str(degraded).lower()).inc(number)
        for (action, currency), amount in amounts.items():
            self._amounts.labels(action, currency).inc(amount)
        for reason, number in decided.degraded.items():
            self._degraded.labels(reason.cause.value).inc(number)
        self._repeats.inc(sum(int(batch.folded.rows.duplicates.sum()) for batch in batches))
        self._dead_letters.inc(sum(len(batch.dead_letters) for batch in batches))
        self._wrong_partition.inc(sum(map(is_in_wrong_partition, chain.from_iterable(b.dead_letters for b in batches))))
        self._batch.observe(sum(len(batch.records) for batch in batches))

    def set_lag(self, partition: int, position: int, end: int | None) -> None:
        """Set the lag of an owned partition, unless the end of the log is not known yet (None)."""
        if end is not None:
            self._lag.labels(partition).set(max(end - position, 0))

    def set_unapplied(self, partition: int, records: int) -> None:
        """Set the number of records that are committed but not applied, for a partition that is owned or assigned."""
        self._unapplied.labels(partition).set(records)

    def count_refolded(self, partition: int, records: int) -> None:
        """Count records that were committed but not applied, and are folded now, without being decided again."""
        self._refolded.labels(partition).inc(records)

    def set_owned_partitions(self, partitions: int) -> None:
        """Set the number of partitions that this worker owns."""
        self._partitions.set(partitions)

    def remove_partition(self, partition: int) -> None:
        """Remove the gauges of a partition that another worker owns now and reports."""
        self._lag.remove(partition)
        self._unapplied.remove(partition)

    def remove_all_partitions(self) -> None:
        """Remove the gauges of all partitions, also of those whose assignment was not finished."""
        self._lag.clear()
        self._unapplied.clear()
        self._partitions.set(0)

    def count_restart(self, cause: str) -> None:
        """Count a start from the committed offsets; `cause` is one of `RESTART_CAUSES`."""
        self._restarts.labels(cause).inc()

    def update_store_size(self, store: FeatureStore) -> None:
        """Query the store's size every `STORE_SIZE_SECONDS`. A failure is logged and leaves the gauges unchanged."""
        if self._now_seconds() < self._next_size_query:
            return
        self._next_size_query = self._now_seconds() + STORE_SIZE_SECONDS
        try:
            size = store.size()
        except CardwatchError as error:
            log.debug("the size of the store is not known: %s", error)
            return
        self._store_bytes.set(size.bytes)
        self._store_cards.set(size.cards)

    def _initialize_labels(self) -> None:
        """Expose every counter with 0 before its first event, so that `increase()` sees the first event."""
        for action in Action:
            for degraded in ("false", "true"):
                self._decisions.labels(action.value, degraded)
        for cause in DEGRADATION_CAUSES:
            self._degraded.labels(cause.value)
        for step in STEPS:
            self._steps.labels(step)
        for restart_cause in RESTART_CAUSES:
            self._restarts.labels(restart_cause)
        for gauge in (self._store_bytes, self._store_cards):
            gauge.set(nan)  # the size is unknown, not 0, until the first query
