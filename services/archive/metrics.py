"""Metrics of the archive: counters of written rows, gauges of the newest rows and of the backlog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from adapters.kafka.skipped_records import SkippedRecords
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS

_DAY_SECONDS: Final = 86_400.0
DELAY_BUCKETS: Final = tuple(_DAY_SECONDS * days for days in (0.25, 0.5, 1, 2, 3, 5, 7, 10, 14, 21, 30, 60, 90))

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class ArchiveMetrics:
    """Metrics of one process; a second instance needs its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.skipped = SkippedRecords((TRANSACTIONS, LABELS, DECISIONS, PROGRESS), registry)
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self._rows = counter("cardwatch_archive_rows", "Rows written.", ["kind"])
        self._labels = counter("cardwatch_archive_labels", "Labels written.", ["is_fraud"])
        self._delay = Histogram(
            "cardwatch_archive_label_delay_seconds",
            "From the event that a label is about to its observation, in event time.",
            buckets=DELAY_BUCKETS,
            registry=registry,
        )
        self._buffered = gauge("cardwatch_archive_buffered_rows", "Rows read and not yet written.")
        self._lag = gauge("cardwatch_archive_lag_records", "Records in the log and not yet read.", ["topic"])
        self._transaction = gauge(
            "cardwatch_archive_newest_transaction_timestamp_seconds", "Event time of the newest transaction written."
        )
        self._label = gauge(
            "cardwatch_archive_newest_label_timestamp_seconds",
            "When the newest label written was observed, in event time.",
        )
        self._closed = gauge(
            "cardwatch_archive_closed_day_timestamp_seconds", "The newest closed day, its midnight in UTC."
        )
        self._open_days = gauge("cardwatch_archive_open_days", "Days that have ended and wait.")
        self._bytes = gauge("cardwatch_archive_bytes", "Parquet files on disk.")
        self._newest = {self._transaction: 0.0, self._label: 0.0}
        for kind in (TRANSACTIONS, DECISIONS, LABELS):
            self._rows.labels(kind)
        for is_fraud in ("true", "false"):
            self._labels.labels(is_fraud)

    def count_rows(self, rows: Rows, on_disk_bytes: int) -> None:
        """Count the rows of one write. `on_disk_bytes`: size of all files after it."""
        for kind, of_kind in rows.items():
            self._rows.labels(kind).inc(len(of_kind))
        labels = rows.get(LABELS, ())
        for row in labels:
            self._labels.labels(str(row["is_fraud"]).lower()).inc()
            self._delay.observe((row["observed_at"] - row["effective_at"]).total_seconds())
        self.set_written(
            max((row["occurred_at"] for row in rows.get(TRANSACTIONS, ())), default=None),
            max((row["observed_at"] for row in labels), default=None),
            on_disk_bytes,
        )

    def set_written(
        self, newest_transaction: datetime | None, newest_label: datetime | None, on_disk_bytes: int
    ) -> None:
        """Set the gauges of what is written. A time that is None or earlier than the newest one changes nothing."""
        for gauge, moment in ((self._transaction, newest_transaction), (self._label, newest_label)):
            if moment is not None:
                self._newest[gauge] = max(self._newest[gauge], moment.timestamp())
                gauge.set(self._newest[gauge])
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
