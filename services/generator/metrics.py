"""What the generator counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from cardwatch.topics import LABELS, TRANSACTIONS


class GeneratorMetrics:
    """One per process, for Prometheus keeps a registry of names."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._sent = Counter("cardwatch_generator_sent", "Records sent to the log.", ["topic"], registry=registry)
        self._day = Gauge(
            "cardwatch_generator_day_timestamp_seconds",
            "The newest simulated day that was sent whole, its midnight in UTC.",
            registry=registry,
        )
        for topic in (TRANSACTIONS, LABELS):
            self._sent.labels(topic)

    def sent(self, topic: str, records: int) -> None:
        """Count records."""
        self._sent.labels(topic).inc(records)

    def sent_day(self, day: date) -> None:
        """Note that all of a day is sent."""
        self._day.set(datetime.combine(day, time(), UTC).timestamp())
