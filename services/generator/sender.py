"""Sending of simulated events to the topics, keyed by card."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from adapters.kafka.consumer import LogReader
from adapters.kafka.producer import NO_TIMEOUT_MS, LogWriter
from adapters.kafka.topics import end_offsets
from adapters.runtime.logs import about
from adapters.runtime.process import Process
from adapters.runtime.retry import StoppableRetry
from cardwatch.errors import BrokerUnavailable, InvalidRecord
from cardwatch.events import Label, Transaction, decode_with, encode
from cardwatch.progress import DayEmitted, Progress
from cardwatch.records import Record
from cardwatch.simulation.simulation import EventsOfDay
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from services.generator.metrics import GeneratorMetrics

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 2.0
"""Timeout of one flush. It also bounds the delay of a stop while the broker is away."""
MAX_PENDING: Final = 100_000
"""Maximum number of records queued for a broker that is away. At that number the sender blocks."""


POISON: Final = b'{"transaction_id": "poison-record", "amount_minor": '
"""The beginning of a JSON object, which no decoder accepts."""


class _Sent(Struct):
    transaction_id: str


_ID: Final = msgspec.json.Decoder(_Sent)


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
        self._sent_transactions: set[str] = set()
        self._sent_labels: set[bytes] = set()
        self._acknowledged, self._acknowledged_at = 0, time.monotonic()

    def close(self) -> None:
        """Discard the queued records and send nothing more."""
        self._writer.close()

    def resume_after(self, day: DayEmitted | None, labels_after: DayEmitted | None) -> None:
        """Read the records after the end of `day`, and labels after that of `labels_after`. They are not sent again.

        None: after the start. The simulation generates the same events each time. Equal labels are the same, and so are
        transactions with the same id, which a fault may have changed before they were sent.
        """
        ends = {
            TRANSACTIONS: day.transaction_ends if day else {},
            LABELS: labels_after.label_ends if labels_after else {},
        }
        log_ends = {(topic, p): end for topic in ends for p, end in self._end_offsets(topic).items()}
        starts = {(topic, p): ends[topic].get(str(p), 0) for topic, p in log_ends}
        with LogReader(self._kafka, starts) as reader:
            while any(
                reader.reached(*partition) < end for partition, end in log_ends.items() if end > starts[partition]
            ):
                self._retry.wait(0)
                for record in reader.poll(0.2):
                    self._note_sent(record)
        if found := len(self._sent_transactions) + len(self._sent_labels):
            log.info("%d records of the next days are in the log already", found)

    @property
    def has_part_of_day(self) -> bool:
        """Whether the log has transactions of a day that has not been sent completely."""
        return bool(self._sent_transactions)

    def unsent(self, transactions: Sequence[Transaction]) -> Sequence[Transaction]:
        """Return the transactions that were not sent before an interruption."""
        return [each for each in transactions if each.transaction_id not in self._sent_transactions]

    def unsent_labels(self, labels: Sequence[Label]) -> list[Label]:
        """Return the labels that were not sent before an interruption."""
        return [each for each in labels if encode(each) not in self._sent_labels]

    def send(self, transactions: Iterable[Transaction]) -> None:
        """Queue transactions, and report to `health` whether the broker accepts them."""
        self._write(TRANSACTIONS, self.unsent(list(transactions)))
        self._report_health()

    def send_labels(self, labels: Sequence[Label]) -> None:
        """Queue labels that were not sent before."""
        self._write(LABELS, self.unsent_labels(labels))

    def send_poison(self) -> None:
        """Write a record that is no transaction to the topic of transactions."""
        self._writer.write(TRANSACTIONS, "card-000000", POISON)
        self._metrics.count_records(TRANSACTIONS, 1)

    def send_day(self, events: EventsOfDay, *, decided: bool) -> None:
        """Send all events of a day. Once they are in the log, announce where the day ends in each partition."""
        self.send(events.transactions)
        self.send_rest_of_day(events, decided=decided)

    def send_rest_of_day(self, events: EventsOfDay, *, decided: bool) -> None:
        """Send the labels of a day whose transactions have been sent, and announce where the day ends."""
        self.send_labels(events.labels)
        self.announce(
            DayEmitted(day=events.day, transaction_ends=self.ends(), label_ends=self._ends(LABELS), decided=decided)
        )
        self._sent_transactions.clear()
        self._sent_labels.clear()

    def ends(self) -> dict[str, int]:
        """Return the offset after the last transaction per partition, once everything sent is in the log."""
        return self._ends(TRANSACTIONS)

    def announce(self, record: Progress) -> None:
        """Write a record to the topic `progress`."""
        self._writer.write(PROGRESS, PROGRESS, msgspec.json.encode(record))
        self._flush()

    def _note_sent(self, record: Record) -> None:
        if record.value is None:
            return
        if record.topic == LABELS:
            self._sent_labels.add(record.value)
            return
        with suppress(InvalidRecord):  # a poison record, which is sent once per request
            self._sent_transactions.add(decode_with(_ID, record.value).transaction_id)

    def _write(self, topic: str, events: Sequence[Transaction | Label]) -> None:
        for event in events:
            self._writer.write(topic, event.card_id, encode(event))
            if log.isEnabledFor(logging.DEBUG):
                log.debug("sent to %s", topic, extra=about(event.transaction_id))
        self._metrics.count_records(topic, len(events))

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
