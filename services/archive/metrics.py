"""Metrics of the archive: counters of written rows, gauges of the newest rows and of the backlog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

_DAY_SECONDS: Final = 86_400.0
DELAY_BUCKETS: Final = tuple(_DAY_SECONDS * days for days in (0.25, 0.5, 1, 2, 3, 5, 7, 10, 14, 21, 30, 60, 90))

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class ArchiveMetrics:
    """Metrics of one process; a second instance needs its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._rows = Counter("cardwatch_archive_rows", "Rows written.", ["kind"], registry=registry)
        self._labels = Counter("cardwatch_archive_labels", "Labels written.", ["is_fraud"], registry=registry)
        self._delay = Histogram(
            "cardwatch_archive_label_delay_seconds",
            "From the event that a label is about to its observation, in event time.",
            buckets=DELAY_BUCKETS,
            registry=registry,
        )
        self._buffered = Gauge("cardwatch_archive_buffered_rows", "Rows read and not yet written.", registry=registry)
        self._lag = Gauge(
            "cardwatch_archive_lag_records", "Records in the log and not yet read.", ["topic"], registry=registry
        )
        self._transaction = Gauge(
            "cardwatch_archive_newest_transaction_timestamp_seconds",
            "Event time of the newest transaction written.",
            registry=registry,
        )
        self._label = Gauge(
            "cardwatch_archive_newest_label_timestamp_seconds",
            "When the newest label written was observed, in event time.",
            registry=registry,
        )
        self._closed = Gauge(
            "cardwatch_archive_closed_day_timestamp_seconds",
            "The newest closed day, its midnight in UTC.",
            registry=registry,
        )
        self._open_days = Gauge("cardwatch_archive_open_days", "Days that have ended and wait.", registry=registry)
        self._bytes = Gauge("cardwatch_archive_bytes", "Parquet files on disk.", registry=registry)
        self._newest_transaction = self._newest_label = 0.0
        for kind in (TRANSACTIONS, DECISIONS, LABELS):
            self._rows.labels(kind)
        for is_fraud in ("true", "false"):
            self._labels.labels(is_fraud)

    def count_rows(self, rows: Rows, on_disk_bytes: int) -> None:
        """Count the rows of one write. `on_disk_bytes`: size of all files after it."""
        for kind, of_kind in rows.items():
            self._rows.labels(kind).inc(len(of_kind))
        for row in rows.get(TRANSACTIONS, ()):
            self._newest_transaction = max(self._newest_transaction, row["occurred_at"].timestamp())
        for row in rows.get(LABELS, ()):
            self._count_label(row)
        if self._newest_transaction:
            self._transaction.set(self._newest_transaction)
        if self._newest_label:
            self._label.set(self._newest_label)
        self._bytes.set(on_disk_bytes)

    def restore(self, newest_transaction: datetime | None, newest_label: datetime | None, on_disk_bytes: int) -> None:
        """Set the gauges to the state written before this process started."""
        if newest_transaction is not None:
            self._newest_transaction = newest_transaction.timestamp()
            self._transaction.set(self._newest_transaction)
        if newest_label is not None:
            self._newest_label = newest_label.timestamp()
            self._label.set(self._newest_label)
        self._bytes.set(on_disk_bytes)

    def set_closed_day(self, day: date | None) -> None:
        """Set the newest closed day."""
        if day is not None:
            self._closed.set(datetime.combine(day, time(), UTC).timestamp())

    def set_backlog(self, *, buffered_rows: int, open_days: int) -> None:
        """Set the number of buffered rows and of ended days that are not closed."""
        self._buffered.set(buffered_rows)
        self._open_days.set(open_days)

    def set_lag(self, topic: str, records: int) -> None:
        """Set the number of unread records of a topic."""
        self._lag.labels(topic).set(records)

    def _count_label(self, row: Mapping[str, Any]) -> None:
        self._labels.labels(str(row["is_fraud"]).lower()).inc()
        self._delay.observe((row["observed_at"] - row["effective_at"]).total_seconds())
        self._newest_label = max(self._newest_label, row["observed_at"].timestamp())
