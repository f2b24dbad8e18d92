"""Metrics of the generator."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from adapters.kafka.skipped_records import SkippedRecords
from cardwatch.live.faults import LIVE_RATE_METRIC
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS


class GeneratorMetrics:
    """Metrics of one process; a second instance needs its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.skipped = SkippedRecords((PROGRESS, DECISIONS), registry)
        self._sent = Counter("cardwatch_generator_sent", "Records sent to the log.", ["topic"], registry=registry)
        self._day = Gauge(
            "cardwatch_generator_day_timestamp_seconds",
            "The newest simulated day that was sent completely, its midnight in UTC.",
            registry=registry,
        )
        self._live_rate = Gauge(
            LIVE_RATE_METRIC,
            "Transactions per second on live days, as the plan says; 0 if each day is sent at once.",
            registry=registry,
        )
        for topic in (TRANSACTIONS, LABELS):
            self._sent.labels(topic)

    def count_records(self, topic: str, records: int) -> None:
        """Count sent records."""
        self._sent.labels(topic).inc(records)

    def set_live_rate(self, per_second: float | None) -> None:
        """Set the rate of live days, None if they are sent in step."""
        self._live_rate.set(per_second or 0.0)

    def set_day(self, day: date) -> None:
        """Set the newest day that was sent completely."""
        self._day.set(datetime.combine(day, time(), UTC).timestamp())
