"""Records that a service passes over because they break their contract: a log line and a counter for each."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from adapters.kafka.progress import log_skipped
from cardwatch.errors import InvalidRecord
from cardwatch.records import Record


class SkippedRecords:
    """Counts the skipped records of some topics; a second instance needs its own registry."""

    def __init__(self, topics: Sequence[str], registry: CollectorRegistry) -> None:
        self._skipped = Counter(
            "cardwatch_skipped_records",
            "Records that were passed over because they break their contract.",
            ["topic"],
            registry=registry,
        )
        for topic in topics:  # exposed with 0, so that `increase()` sees the first one
            self._skipped.labels(topic)

    def add(self, record: Record, error: InvalidRecord) -> None:
        """Log and count a record."""
        log_skipped(record, error)
        self._skipped.labels(record.topic).inc()
