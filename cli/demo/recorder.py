"""The state of a running demo: records of four topics in, copies of one `DemoSnapshot` out.

It does no I/O: the observer passes records in, the view draws the snapshots. Decoding dominates the cost of observing
thousands of records per second, so only the fields that are shown are decoded.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from adapters.runtime.clock import epoch_ms
from cardwatch.errors import InvalidRecord
from cardwatch.events import Action
from cardwatch.live.frames import EventKind
from cardwatch.live.fraud_counter import FraudCounter
from cardwatch.live.rates import RateCounter
from cardwatch.progress import Progress, RateEnded, RateStarted, decode_progress
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from cli.demo.latencies import LatencyRecorder
from cli.demo.plan import DemoPlan
from cli.demo.snapshot import DemoSnapshot
from cli.demo.timeline import DemoTimeline

REMEMBERED: Final = 5_000_000
"""Number of decisions whose labels are awaited: more than any demo makes."""

log = logging.getLogger(__name__)


class _ShownTransaction(Struct):
    transaction_id: str
    occurred_at: str
    amount_minor: int
    currency: str


class _ShownDecision(Struct):
    transaction: _ShownTransaction
    partition: int
    offset: int
    action: str
    model_version: str | None = None
    canary_version: str | None = None
    degraded: bool = False


class _ShownLabel(Struct):
    transaction_id: str
    is_fraud: bool


_DECODE_DECISION = msgspec.json.Decoder(_ShownDecision).decode
_DECODE_LABEL = msgspec.json.Decoder(_ShownLabel).decode


class MeasuredLoad(NamedTuple):
    """End-to-end latencies (ms) of the transactions that were offered at the fixed rate within `seconds`."""

    latencies_ms: NDArray[np.float64]
    seconds: float


class Recorder:
    """Collects records and events and gives snapshots; thread-safe. `now_seconds` is a monotonic clock."""

    def __init__(self, plan: DemoPlan, *, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._demo = DemoSnapshot(plan=plan)
        self._now_seconds = now_seconds
        self._started_seconds = now_seconds()
        self._lock = threading.Lock()
        self._timeline = DemoTimeline(self._demo)
        self._rate = RateCounter(self._started_seconds)
        self._latency = LatencyRecorder()
        stops = {Action.CHALLENGE.value: plan.challenge_stops_fraud, Action.DECLINE.value: 1.0}
        self._fraud = FraudCounter(stops, remembered=REMEMBERED)
        self._iso_day = ""
        self._measured_from_ms = math.inf
        self._measured_until_ms = math.inf

    def stage(self, text: str) -> None:
        """Set the current stage, which the screen shows; it is not an event."""
        with self._lock:
            self._demo.stage = text

    def note(self, kind: EventKind, text: str, details: Sequence[str] = ()) -> None:
        """Add an event that is on no topic, such as a started process."""
        with self._lock:
            self._timeline.note(epoch_ms(), kind, text, list(details))

    def take(self, records: Sequence[Record], *, arrived_ms: float) -> None:
        """Take in records that arrived together at `arrived_ms`, on the clock of `Record.timestamp_ms`."""
        with self._lock:
            for record in records:
                try:
                    self._take(record, arrived_ms)
                except (InvalidRecord, msgspec.DecodeError, ValueError, RecursionError) as error:
                    log.warning("%s[%d] %d is not shown: %.200s", record.topic, record.partition, record.offset, error)
            self._rate.reached(self._demo.decisions, self._now_seconds())

    def snapshot(self) -> DemoSnapshot:
        """The demo as it is now."""
        with self._lock:
            now_seconds = self._now_seconds()
            p50_ms, p99_ms = self._latency.percentiles_ms(50, 99)
            return structs.replace(
                self._demo,
                elapsed_seconds=now_seconds - self._started_seconds,
                day=date.fromisoformat(self._iso_day) if self._iso_day else None,
                rate_per_second=self._rate.per_second(now_seconds),
                latency_p50_ms=p50_ms,
                latency_p99_ms=p99_ms,
                fraud=self._fraud.money(),
                days=list(self._demo.days),
                events=list(self._demo.events),
            )

    def measured(self) -> MeasuredLoad:
        """The phase at a fixed rate, once its end and all its decisions have been recorded; empty without one."""
        with self._lock:
            from_ms, until_ms = self._measured_from_ms, self._measured_until_ms
            if math.isinf(until_ms):
                return MeasuredLoad(np.empty(0), 0.0)
            return MeasuredLoad(self._latency.between(from_ms, until_ms), (until_ms - from_ms) / 1000.0)

    def _take(self, record: Record, arrived_ms: float) -> None:
        topic, value = record.topic, record.value or b""
        if topic == TRANSACTIONS:
            self._demo.transactions += 1
            self._latency.created((record.partition, record.offset), record.timestamp_ms)
        elif topic == DECISIONS:
            self._decided(_DECODE_DECISION(value), arrived_ms)
        elif topic == LABELS:
            label = _DECODE_LABEL(value)
            if label.is_fraud:
                self._fraud.fraud(label.transaction_id)
        elif topic == PROGRESS:
            self._apply_progress(decode_progress(value), record.timestamp_ms)

    def _decided(self, decision: _ShownDecision, arrived_ms: float) -> None:
        demo, payment = self._demo, decision.transaction
        iso_day = payment.occurred_at[:10]
        if iso_day > self._iso_day:
            date.fromisoformat(iso_day)  # raises for a record of others before anything is counted
        demo.decisions += 1
        demo.degraded += decision.degraded
        self._latency.decided((decision.partition, decision.offset), arrived_ms)
        self._fraud.decided(payment.transaction_id, payment.amount_minor, payment.currency, decision.action)
        if not demo.measuring:
            self._iso_day = max(self._iso_day, iso_day)
        if decision.model_version is not None and decision.model_version != decision.canary_version:
            self._timeline.decided_by(decision.model_version, arrived_ms, iso_day)

    def _apply_progress(self, progress: Progress, sent_ms: float) -> None:
        self._timeline.apply(progress, sent_ms)
        if isinstance(progress, RateStarted):
            self._measured_from_ms = sent_ms
        elif isinstance(progress, RateEnded):
            self._measured_until_ms = sent_ms
