"""Sending of simulated events to the topics, keyed by card."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from adapters.kafka.consumer import LogReader
from adapters.kafka.producer import NO_TIMEOUT_MS, LogWriter
from adapters.kafka.topics import end_offsets
from adapters.runtime.logs import about
from adapters.runtime.process import Process
from adapters.runtime.retry import StoppableRetry
from cardwatch.errors import BrokerUnavailable
from cardwatch.events import Label, Transaction, encode
from cardwatch.progress import DayEmitted, Progress
from cardwatch.simulation.simulation import EventsOfDay
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from services.generator.metrics import GeneratorMetrics

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 2.0
"""Timeout of one flush. It also bounds the delay of a stop while the broker is away."""
MAX_PENDING: Final = 100_000
"""Maximum number of records queued for a broker that is away. At that number the sender blocks."""


class EventSender:
    """Writes transactions and labels. It is the only writer of both topics.

    While the broker is away, the sender waits without a timeout; queued records are sent in order afterwards. If a
    record is refused, `BrokerUnavailable` is raised, and a new sender continues after `close`.
    """

    def __init__(self, process: Process, metrics: GeneratorMetrics) -> None:
        settings = process.settings
        self._writer = LogWriter(settings.kafka, partitioner=settings.partitioner, delivery_timeout_ms=NO_TIMEOUT_MS)
        self._health, self._metrics = process.health, metrics
        self._retry = StoppableRetry(process.stopping, process.health)
        self._kafka: Final = process.settings.kafka
        self._sent_before: set[bytes] = set()
        self._acknowledged, self._acknowledged_at = 0, time.monotonic()

    def close(self) -> None:
        """Discard the queued records and send nothing more."""
        self._writer.close()

    def resume_after(self, day: DayEmitted | None) -> None:
        """Read the records after the end of `day` (None: after the start). They are not sent again.

        The simulation generates the same records each time, so equal records are the same.
        """
        ends = {TRANSACTIONS: day.transaction_ends if day else {}, LABELS: day.label_ends if day else {}}
        log_ends = {(topic, p): end for topic in ends for p, end in self._end_offsets(topic).items()}
        starts = {(topic, p): ends[topic].get(str(p), 0) for topic, p in log_ends}
        with LogReader(self._kafka, starts) as reader:
            while any(
                reader.reached(*partition) < end for partition, end in log_ends.items() if end > starts[partition]
            ):
                self._retry.wait(0)
                self._sent_before.update(record.value for record in reader.poll(0.2) if record.value is not None)
        if self._sent_before:
            log.info("%d records of the next days are in the log already", len(self._sent_before))

    def unsent(self, transactions: Sequence[Transaction]) -> Sequence[Transaction]:
        """Return the transactions that were not sent before an interruption."""
        return [each for each in transactions if encode(each) not in self._sent_before]

    def send(self, transactions: Iterable[Transaction]) -> None:
        """Queue transactions, and report to `health` whether the broker accepts them."""
        self._write(TRANSACTIONS, transactions)
        self._report_health()

    def send_day(self, events: EventsOfDay, *, decided: bool) -> None:
        """Send all events of a day. Once they are in the log, announce where the day ends in each partition."""
        self.send(events.transactions)
        self.send_rest_of_day(events, decided=decided)

    def send_rest_of_day(self, events: EventsOfDay, *, decided: bool) -> None:
        """Send the labels of a day whose transactions have been sent, and announce where the day ends."""
        self._write(LABELS, events.labels)
        self.announce(
            DayEmitted(day=events.day, transaction_ends=self.ends(), label_ends=self._ends(LABELS), decided=decided)
        )
        self._sent_before.clear()

    def ends(self) -> dict[str, int]:
        """Return the offset after the last transaction per partition, once everything sent is in the log."""
        return self._ends(TRANSACTIONS)

    def announce(self, record: Progress) -> None:
        """Write a record to the topic `progress`."""
        self._writer.write(PROGRESS, PROGRESS, msgspec.json.encode(record))
        self._flush()

    def _write(self, topic: str, events: Iterable[Transaction | Label]) -> None:
        written = 0
        for event in events:
            value = encode(event)
            if value in self._sent_before:
                continue
            self._writer.write(topic, event.card_id, value)
            written += 1
            if log.isEnabledFor(logging.DEBUG):
                log.debug("sent to %s", topic, extra=about(event.transaction_id))
        self._metrics.count_records(topic, written)

    def _report_health(self) -> None:
        now = time.monotonic()
        if self._writer.delivered > self._acknowledged or not self._writer.pending:
            self._acknowledged, self._acknowledged_at = self._writer.delivered, now
            self._health.ready()
        elif now - self._acknowledged_at > FLUSH_SECONDS:
            self._health.waiting(f"the broker has taken none of {self._writer.pending} records")
        if self._writer.pending > MAX_PENDING:
            self._flush()

    def _ends(self, topic: str) -> dict[str, int]:
        self._flush()
        return {str(partition): end for partition, end in self._end_offsets(topic).items()}

    def _end_offsets(self, topic: str) -> dict[int, int]:
        return self._retry.call(lambda: end_offsets(self._kafka, topic))

    def _flush(self) -> None:
        while True:
            try:
                self._writer.flush(FLUSH_SECONDS)
                break
            except BrokerUnavailable as error:
                if self._writer.has_failed:
                    raise
                self._health.waiting(str(error))
                self._retry.wait(0)
        self._health.ready()
