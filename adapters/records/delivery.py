"""Transactions written to the log, and what became of each: a decision, an earlier decision, or a dead letter."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Final, NamedTuple

from msgspec import Struct

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import end_offsets
from adapters.records.decision_search import DecisionScan, Identity, key_of
from adapters.records.position import LogPosition
from adapters.runtime.settings import Settings
from adapters.runtime.terminal_text import escaped
from cardwatch.errors import BrokerUnavailable, InvalidRecord
from cardwatch.events import DeadLetter, Decision, Transaction, decode, encode
from cardwatch.records import Headers, Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, STREAM_GROUP, TRANSACTIONS

POLL_SECONDS: Final = 0.1
"""Maximum time to wait for a record."""
PASSED_SECONDS: Final = 0.5
"""Time between two questions to the group how far the workers are."""


class LoggedTransaction(NamedTuple):
    """A transaction whose record has been read at its position in the log, `after_ms` after the first was written."""

    transaction: Transaction
    position: LogPosition
    after_ms: float


class DeliveryOutcome(NamedTuple):
    """The outcome of a transaction: its decision, or the dead letter of its record.

    With `was_decided_before` the record was a repeat, and the decision is an earlier one, None if the topic no longer
    holds it. It was read `after_ms` milliseconds after the first transaction was written.
    """

    transaction: Transaction
    decision: Decision | None = None
    letter: DeadLetter | None = None
    was_decided_before: bool = False
    after_ms: float = 0.0


class _Waiting(Struct):
    """A transaction without an outcome.

    `position` is where its record lies, once it was read. When the workers' committed offset has passed it,
    `decided_by` has the ends of `decisions` and `dead-letters` before which its outcome must lie, if it has one.
    """

    transaction: Transaction
    position: LogPosition | None = None
    decided_by: dict[str, int] | None = None


def delivery_writer(settings: Settings, timeout_seconds: float) -> LogWriter:
    """Return a writer with the partitioner of the settings, which gives a record up after the timeout."""
    timeout_ms = max(int(timeout_seconds * 1000), 1)
    return LogWriter(settings.kafka, partitioner=settings.partitioner, delivery_timeout_ms=timeout_ms)


class Delivery:
    """Writes transactions to the log and waits for their outcomes.

    Every topic is read from where it ended before the first record was written, so that no decision is missed. A record
    that the workers have passed without a decision or a dead letter is a repeat. `acknowledged_ms` is the time from the
    first write until the broker had taken all records, None before.
    """

    def __init__(self, settings: Settings, transactions: Sequence[Transaction], timeout_seconds: float) -> None:
        self._settings, self._kafka, self._timeout_seconds = settings, settings.kafka, timeout_seconds
        self._waiting: dict[Identity, _Waiting] = {
            (each.card_id, each.transaction_id): _Waiting(each) for each in transactions
        }
        self._by_value = {encode(each.transaction): identity for identity, each in self._waiting.items()}
        self._begins = {
            (topic, partition): end
            for topic in (TRANSACTIONS, DECISIONS, DEAD_LETTERS)
            for partition, end in end_offsets(self._kafka, topic).items()
        }
        self._decided_at_start = self._decided()
        self._reader = LogReader(self._kafka, self._begins)  # it connects before anything is written and measured
        self._written = 0
        self._began = time.perf_counter()
        self.acknowledged_ms: float | None = None

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()

    def write(self, headers: Headers = ()) -> None:
        """Write all transactions with these headers.

        Raises `BrokerUnavailable` if the broker does not accept all of them in time.
        """
        with closing(delivery_writer(self._settings, self._timeout_seconds)) as writer:
            self.write_with(writer, headers)

    def write_with(self, writer: LogWriter, headers: Headers = ()) -> None:
        """Do what `write` does with a writer that may have been connected before, and stays open."""
        delivered_before = writer.delivered
        self._began = time.perf_counter()
        try:
            for value, (card_id, _) in self._by_value.items():
                writer.write(TRANSACTIONS, card_id, value, headers)
            writer.flush(self._timeout_seconds)
            self.acknowledged_ms = self._after_ms()
        except BrokerUnavailable as error:
            raise BrokerUnavailable(
                f"{writer.delivered - delivered_before:,} of {len(self._by_value):,} transactions are in the log, of "
                f"the others this is not known: {error}. To send all again is safe"
            ) from error
        finally:
            self._written = writer.delivered - delivered_before

    def steps(self) -> Iterator[LoggedTransaction | DeliveryOutcome]:
        """Yield the outcomes, and where each record lies, which may be read after the outcome or not at all."""
        deadline = time.monotonic() + self._timeout_seconds
        repeats: dict[Identity, _Waiting] = {}
        next_question = 0.0
        while self._waiting and (now := time.monotonic()) < deadline:
            for record in self._reader.poll(POLL_SECONDS):
                if (step := self._take(record)) is not None:
                    yield step
            if now >= next_question:
                next_question = now + PASSED_SECONDS
                with suppress(BrokerUnavailable):  # it may be back before the time is over, as the reader expects
                    self._note_passed()
            for identity in self._passed_without_outcome():
                repeats[identity] = self._waiting.pop(identity)
        yield from self._decided_before(repeats)

    def so_far(self) -> str:
        """Return how far it has come, for a user who ends it."""
        number = len(self._by_value)
        return (
            f"{self._written:,} of {number:,} transactions are in the log and will be decided, of "
            f"{number - len(self._waiting):,} the decision was seen. To send all again is safe"
        )

    def unanswered(self) -> str:
        """Return why transactions have no outcome and what to do, the empty string if all have one."""
        if not self._waiting:
            return ""
        first = next(iter(self._waiting.values()))
        missing = (
            f"{len(self._waiting):,} of {len(self._by_value):,} transactions have no decision within "
            f"{self._timeout_seconds:g} s. All are in the log and will be decided; sending them again adds nothing. "
            f"The first is {escaped(first.transaction.transaction_id)}"
        )
        if first.position is None:
            return f"{missing}, which cannot be read yet: another producer has an open transaction in {TRANSACTIONS}"
        partition, offset = first.position.partition, first.position.offset
        later = f"Later: `cardwatch decisions show {partition}:{offset}`"
        try:
            decided = self._decided().get(partition, 0)
        except BrokerUnavailable as error:
            return f"{missing} at {first.position}. The broker is away: {error} {later}"
        progress = f"{TRANSACTIONS}[{partition}] is decided up to {decided}"
        if decided == self._decided_at_start.get(partition, 0):
            cause = (
                f"{progress}, as before it was sent. Is a stream worker running, and what does it wait for? `cardwatch "
                "ps`, `cardwatch logs stream`, docs/runbook/process-not-ready.md"
            )
        else:
            cause = f"{progress}, and the stream workers continue: docs/runbook/lag-growing.md"
        return f"{missing} at {first.position}. {cause}. {later}"

    def _take(self, record: Record) -> LoggedTransaction | DeliveryOutcome | None:
        """Return what a record tells about a transaction, None if it is none of ours."""
        if record.topic == DECISIONS:
            return self._take_decision(record)
        if record.topic == DEAD_LETTERS:
            return self._take_letter(record)
        identity = self._by_value.get(record.value or b"")
        if identity in self._waiting:
            each = self._waiting[identity]
            each.position = LogPosition(TRANSACTIONS, record.partition, record.offset)
            return LoggedTransaction(each.transaction, each.position, self._after_ms())
        return None

    def _take_decision(self, record: Record) -> DeliveryOutcome | None:
        key = key_of(record)
        if key is None or key.identity not in self._waiting:
            return None
        transaction = self._waiting.pop(key.identity).transaction
        return DeliveryOutcome(transaction, decision=decode(record.value, Decision), after_ms=self._after_ms())

    def _take_letter(self, record: Record) -> DeliveryOutcome | None:
        try:
            letter = decode(record.value, DeadLetter)
        except InvalidRecord:
            return None
        identity = self._by_value.get(letter.value or b"")
        if identity not in self._waiting:
            return None
        return DeliveryOutcome(self._waiting.pop(identity).transaction, letter=letter, after_ms=self._after_ms())

    def _after_ms(self) -> float:
        return round((time.perf_counter() - self._began) * 1000.0, 1)

    def _decided(self) -> dict[int, int]:
        """Return the offset up to which the workers have decided, by partition."""
        partitions = [partition for topic, partition in self._begins if topic == TRANSACTIONS]
        with closing(OffsetReader(self._kafka, STREAM_GROUP)) as offsets:
            return offsets.committed(TRANSACTIONS, partitions)

    def _note_passed(self) -> None:
        """Note for records that the workers have passed where their decisions must have been written by then.

        Decisions and the offset are committed in one Kafka transaction, so the topics' ends are asked for afterwards.
        """
        unknown = [each for each in self._waiting.values() if each.position is not None and each.decided_by is None]
        decided = self._decided() if unknown else {}
        passed = [
            (each, each.position.partition)
            for each in unknown
            if each.position is not None and each.position.offset < decided.get(each.position.partition, 0)
        ]
        if passed:
            ends = {topic: end_offsets(self._kafka, topic, read_committed=False) for topic in (DECISIONS, DEAD_LETTERS)}
            for each, partition in passed:
                each.decided_by = {topic: ends[topic].get(partition, 0) for topic in ends}

    def _passed_without_outcome(self) -> list[Identity]:
        """Return the transactions whose decision or dead letter would have been read by now."""
        return [
            identity
            for identity, each in self._waiting.items()
            if each.position is not None
            and each.decided_by is not None
            and all(
                self._reader.reached(topic, each.position.partition) >= end for topic, end in each.decided_by.items()
            )
        ]

    def _decided_before(self, repeats: dict[Identity, _Waiting]) -> Iterator[DeliveryOutcome]:
        """Yield the earlier decisions of repeats."""
        if not repeats:
            return
        scan = DecisionScan(self._kafka, {each.position.partition for each in repeats.values() if each.position})
        found = scan.find(lambda key: key.identity if key.identity in repeats else None, len(repeats))
        for identity, each in repeats.items():
            yield DeliveryOutcome(
                each.transaction, decision=found.get(identity), was_decided_before=True, after_ms=self._after_ms()
            )
