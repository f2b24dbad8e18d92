"""What a stream worker counts. Of decisions only what was committed: a batch that was thrown away is not counted."""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from math import nan
from typing import Final, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from cardwatch.errors import CardwatchError
from cardwatch.events import Action
from cardwatch.ports import StoreSize
from services.stream.batch import Batch
from services.stream.decider import Cause, Decided

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STEP_BUCKETS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)
STORE_LOOK_SECONDS: Final = 10.0
STEPS: Final = ("fold", "score", "commit", "apply")
RESTART_CAUSES: Final = ("superseded", "broker", "store")

log = logging.getLogger(__name__)


class Sized(Protocol):
    """What is needed of a feature store."""

    def size(self) -> StoreSize:
        """How much it holds."""
        ...


class StreamMetrics:
    """One per process, for Prometheus keeps a registry of names; for the worker's thread alone.

    `now_seconds` is a clock that does not go backwards.
    """

    def __init__(
        self, registry: CollectorRegistry = REGISTRY, *, now_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._now_seconds = now_seconds
        self._look_at_store_seconds = now_seconds()
        self._decisions = Counter(
            "cardwatch_stream_decisions", "Decisions of record.", ["action", "degraded"], registry=registry
        )
        self._degraded = Counter(
            "cardwatch_stream_degraded", "Decisions that the rules made, and why.", ["cause"], registry=registry
        )
        self._amounts = Counter(
            "cardwatch_stream_amount_minor",
            "Amounts decided upon, in minor units of the currency.",
            ["action", "currency"],
            registry=registry,
        )
        self._repeats = Counter(
            "cardwatch_stream_repeats", "Transactions that had been decided before.", registry=registry
        )
        self._dead_letters = Counter(
            "cardwatch_stream_dead_letters", "Records that are no transactions.", registry=registry
        )
        self._latency = Histogram(
            "cardwatch_stream_latency_seconds",
            "From a transaction's arrival in the log to its decision.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._steps = Histogram(
            "cardwatch_stream_step_seconds",
            "Time of a batch in each step of the commit order.",
            ["step"],
            buckets=STEP_BUCKETS,
            registry=registry,
        )
        self._batch = Histogram(
            "cardwatch_stream_batch_transactions", "Size of a batch.", buckets=BATCH_BUCKETS, registry=registry
        )
        self._lag = Gauge(
            "cardwatch_stream_lag_records",
            "From the next position to the end of the log.",
            ["partition"],
            registry=registry,
        )
        self._unapplied = Gauge(
            "cardwatch_stream_unapplied_records",
            "Committed, but not yet folded into the store.",
            ["partition"],
            registry=registry,
        )
        self._partitions = Gauge("cardwatch_stream_partitions", "Partitions that this worker owns.", registry=registry)
        self._restarts = Counter(
            "cardwatch_stream_restarts", "Started again from what is committed, and why.", ["cause"], registry=registry
        )
        self._store_bytes = Gauge("cardwatch_store_bytes", "Size of the feature store.", registry=registry)
        self._store_cards = Gauge("cardwatch_store_cards", "Cards in the feature store.", registry=registry)
        self._show_zeros()

    def step_took(self, step: str, seconds: float) -> None:
        """Note how long a step of a batch took."""
        self._steps.labels(step).observe(seconds)

    def committed(self, batches: Sequence[Batch], decided: Decided) -> None:
        """Count what was committed."""
        decisions: Tally[tuple[str, bool]] = Tally()
        amounts: Tally[tuple[str, str]] = Tally()
        for decision in (decision for of_batch in decided.decisions for decision in of_batch):
            decisions[decision.action.value, decision.degraded] += 1
            amounts[decision.action.value, decision.transaction.currency] += decision.transaction.amount_minor
            self._latency.observe(decision.latency_ms / 1000.0)
        for (action, degraded), number in decisions.items():
            self._decisions.labels(action, str(degraded).lower()).inc(number)
        for (action, currency), amount in amounts.items():
            self._amounts.labels(action, currency).inc(amount)
        for why, number in decided.by_rules.items():
            self._degraded.labels(why.cause.value).inc(number)
        self._repeats.inc(sum(int(batch.folded.duplicates.sum()) for batch in batches))
        self._dead_letters.inc(sum(len(batch.dead_letters) for batch in batches))
        self._batch.observe(sum(len(batch.transactions) for batch in batches))

    def lag(self, partition: int, position: int, end: int | None) -> None:
        """Note where the worker stands in a partition of its own; `end` is None as long as nobody knows it."""
        if end is not None:
            self._lag.labels(partition).set(max(end - position, 0))

    def unapplied(self, partition: int, records: int) -> None:
        """Note how far the store is behind what is committed, in a partition that is owned or being taken over."""
        self._unapplied.labels(partition).set(records)

    def owns(self, partitions: int) -> None:
        """Note how many partitions are this worker's."""
        self._partitions.set(partitions)

    def gave_back(self, partition: int) -> None:
        """A partition is another worker's now: it is the other's to speak of it."""
        self._lag.remove(partition)
        self._unapplied.remove(partition)

    def gave_back_all(self) -> None:
        """Nothing is this worker's any more, not even what it was about to take over."""
        self._lag.clear()
        self._unapplied.clear()
        self._partitions.set(0)

    def started_again(self, cause: str) -> None:
        """Count a batch that was thrown away, or a part that was away."""
        self._restarts.labels(cause).inc()

    def look_at(self, store: Sized) -> None:
        """Note the size of the store, now and then. One that does not say it stops nobody because of a gauge."""
        if self._now_seconds() < self._look_at_store_seconds:
            return
        self._look_at_store_seconds = self._now_seconds() + STORE_LOOK_SECONDS
        try:
            size = store.size()
        except CardwatchError as error:
            log.debug("the store does not say its size: %s", error)
            return
        self._store_bytes.set(size.bytes)
        self._store_cards.set(size.cards)

    def _show_zeros(self) -> None:
        """What has not happened yet is counted as 0, so that the first time is a rise."""
        for action in Action:
            for degraded in ("false", "true"):
                self._decisions.labels(action.value, degraded)
        for cause in Cause:
            self._degraded.labels(cause.value)
        for step in STEPS:
            self._steps.labels(step)
        for why in RESTART_CAUSES:
            self._restarts.labels(why)
        for of_store in (self._store_bytes, self._store_cards):
            of_store.set(nan)  # a store that nobody has asked yet is not empty
