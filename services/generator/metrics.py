"""Metrics of the generator."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from adapters.kafka.skipped_records import SkippedRecords
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
        for topic in (TRANSACTIONS, LABELS):
            self._sent.labels(topic)

    def count_records(self, topic: str, records: int) -> None:
        """Count sent records."""
        self._sent.labels(topic).inc(records)

    def set_day(self, day: date) -> None:
        """Set the newest day that was sent completely."""
        self._day.set(datetime.combine(day, time(), UTC).timestamp())
