"""Events of the world into the log, keyed by card."""

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
from cardwatch.errors import BrokerUnavailable
from cardwatch.events import Label, Transaction, encode
from cardwatch.progress import DayEmitted, Progress
from cardwatch.simulation.simulation import EventsOfDay
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from services.generator.metrics import GeneratorMetrics

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 2.0
MAX_PENDING: Final = 100_000
"""So many records may wait for a broker that is away; then the source waits with them."""


class Stopped(Exception):
    """We were asked to stop while we waited."""


class Source:
    """Writes transactions and labels; the only one that does.

    A broker that is away is waited for, however long: what was handed over is sent in its order when it is back. Should
    a record be refused nevertheless, `BrokerUnavailable` is raised, and another source goes on after `close`.
    """

    def __init__(self, process: Process, metrics: GeneratorMetrics) -> None:
        self._writer = LogWriter(process.settings.kafka_bootstrap, delivery_timeout_ms=NO_TIMEOUT_MS)
        self._process, self._metrics = process, metrics
        self._bootstrap: Final = process.settings.kafka_bootstrap
        self._sent_before: set[bytes] = set()
        self._taken, self._taken_at = 0, time.monotonic()

    def close(self) -> None:
        """Send nothing more, not even what waits for the broker."""
        self._writer.close()

    def resume_after(self, day: DayEmitted | None) -> None:
        """Read what is in the log after the end of `day` (of the beginning): it is not sent again.

        The world makes the same records each time, so equal ones are the same.
        """
        ends = {TRANSACTIONS: day.transaction_ends if day else {}, LABELS: day.label_ends if day else {}}
        stops = {(topic, p): end for topic in ends for p, end in self._end_offsets(topic).items()}
        starts = {(topic, p): ends[topic].get(str(p), 0) for topic, p in stops}
        with LogReader(self._bootstrap, starts) as reader:
            while any(reader.reached(*place) < stop for place, stop in stops.items() if stop > starts[place]):
                self._pause_for_the_broker()
                self._sent_before.update(record.value for record in reader.poll(0.2) if record.value is not None)
        if self._sent_before:
            log.info("%d records of the next days are in the log already", len(self._sent_before))

    def unsent(self, transactions: Sequence[Transaction]) -> Sequence[Transaction]:
        """Those that are not in the log from before an interruption."""
        return [each for each in transactions if encode(each) not in self._sent_before]

    def send(self, transactions: Iterable[Transaction]) -> None:
        """Queue transactions for the log; `health` learns whether the broker takes them."""
        self._write(TRANSACTIONS, transactions)
        self._look_at_the_broker()

    def send_day(self, events: EventsOfDay, *, decided: bool) -> None:
        """Send a whole day; once it is in the log, say where it ends in each partition."""
        self.send(events.transactions)
        self.send_rest_of_day(events, decided=decided)

    def send_rest_of_day(self, events: EventsOfDay, *, decided: bool) -> None:
        """Send what is learned on a day whose transactions have been sent, and say where it ends."""
        self._write(LABELS, events.labels)
        self.announce(
            DayEmitted(day=events.day, transaction_ends=self.ends(), label_ends=self._ends(LABELS), decided=decided)
        )
        self._sent_before.clear()

    def ends(self) -> dict[str, int]:
        """Per partition, the offset after the last transaction, once all that was sent is in the log."""
        return self._ends(TRANSACTIONS)

    def announce(self, record: Progress) -> None:
        """Put a record on the topic `progress`."""
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
        self._metrics.sent(topic, written)

    def _look_at_the_broker(self) -> None:
        now = time.monotonic()
        if self._writer.delivered > self._taken or not self._writer.pending:
            self._taken, self._taken_at = self._writer.delivered, now
            self._process.health.ready()
        elif now - self._taken_at > FLUSH_SECONDS:
            self._process.health.waiting(f"the broker has taken none of {self._writer.pending} records")
        if self._writer.pending > MAX_PENDING:
            self._flush()

    def _ends(self, topic: str) -> dict[str, int]:
        self._flush()
        return {str(partition): end for partition, end in self._end_offsets(topic).items()}

    def _end_offsets(self, topic: str) -> dict[int, int]:
        while True:
            try:
                return end_offsets(self._bootstrap, topic)
            except BrokerUnavailable as error:
                self._wait(error)

    def _flush(self) -> None:
        while True:
            try:
                self._writer.flush(FLUSH_SECONDS)
                break
            except BrokerUnavailable as error:
                if self._writer.has_failed:
                    raise
                self._wait(error)
        self._process.health.ready()

    def _wait(self, error: BrokerUnavailable) -> None:
        self._process.health.waiting(str(error))
        self._pause_for_the_broker()

    def _pause_for_the_broker(self) -> None:
        self._process.health.turn()
        if self._process.stopping.is_set():
            raise Stopped
