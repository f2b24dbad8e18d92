"""The decision of one transaction, and why there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from adapters.kafka.offsets import OffsetReader
from adapters.kafka.topics import end_offsets
from adapters.records.dead_letters import find_letter
from adapters.records.position import LogPosition
from adapters.records.printable import printable
from adapters.records.ranges import BackwardReader, read_range
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.settings import Settings
from adapters.runtime.terminal_text import escaped
from cardwatch.errors import InvalidRecord
from cardwatch.events import Decision, Transaction, decode, from_epoch_ms
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, STREAM_GROUP, TRANSACTIONS

log = logging.getLogger(__name__)

Identity: TypeAlias = tuple[str, str]
"""The identity of a transaction: its card and its id."""
Key = TypeVar("Key")


class FoundDecision(NamedTuple):
    """The decision that was looked for, None if there is none, and then sentences that say why and where it looked."""

    decision: Decision | None
    searched: str


class _Identifiers(Struct):
    card_id: str
    transaction_id: str


class DecisionKey(Struct):
    """The part of a decision by which it is found. Reading only this part takes a fraction of the time."""

    partition: int
    offset: int
    transaction: _Identifiers

    @property
    def identity(self) -> Identity:
        """Card and transaction."""
        return self.transaction.card_id, self.transaction.transaction_id


_DECODER: Final = msgspec.json.Decoder(DecisionKey)


def find_decision(settings: Settings, transaction_id: str, position: LogPosition | None) -> FoundDecision:
    """Look for the decision of the transaction at `position`, or with this id if that is None, the newest first."""
    scan = DecisionScan(settings.kafka, None if position is None else [position.partition])
    if position is None:
        found = scan.find(lambda key: key.transaction.transaction_id == transaction_id or None, 1)
        wanted, reason = f"with the id {escaped(transaction_id)!r}", _waiting
    elif position.topic == TRANSACTIONS:
        # Decisions of a partition have the order of their transactions.
        found = scan.find(
            lambda key: key.offset == position.offset or None, 1, lambda key: key.offset < position.offset
        )
        wanted, reason = f"at {position}", partial(_why_undecided, position=position)
    else:
        return FoundDecision(None, f"{position} is no transaction: give its position in {TRANSACTIONS}")
    if found:
        return FoundDecision(found[True], "")
    text = f"there is no decision about a transaction {wanted}. {reason(settings.kafka)}{scan.report()}"
    return FoundDecision(None, text)


class DecisionScan:
    """Looks through the decisions of some partitions, of all without `partitions`, the newest block first."""

    def __init__(self, broker: KafkaConnection, partitions: Iterable[int] | None = None) -> None:
        # A decision lies in the partition number of its transaction.
        self._reader = BackwardReader(broker, DECISIONS, partitions)
        self._number, self._oldest_ms = 0, 0

    def find(
        self,
        name: Callable[[DecisionKey], Key | None],
        number: int,
        is_passed: Callable[[DecisionKey], bool] = lambda _key: False,
    ) -> dict[Key, Decision]:
        """Return up to `number` decisions by the names that `name` gives them; it returns None for all others.

        The search ends when all are found, or after a block with a decision for which `is_passed` is true.
        """
        found: dict[Key, Decision] = {}
        while unread := self._reader.unread:
            block: dict[Key, Decision] = {}
            is_over = False
            for record in self._reader.block(unread):
                self._number += 1
                self._oldest_ms = min(self._oldest_ms or record.timestamp_ms, record.timestamp_ms)
                if (key := key_of(record)) is None:
                    continue
                if (named := name(key)) is not None:
                    block.update((named, decision) for _, decision in decisions_in(iter([record])))
                is_over |= is_passed(key)
            found = block | found  # the newest decision counts
            if is_over or len(found) >= number:
                break
        return found

    def report(self) -> str:
        """Return a sentence about what was looked at."""
        oldest = f", the oldest of {from_epoch_ms(self._oldest_ms):%Y-%m-%dT%H:%M:%SZ}" if self._number else ""
        return f"{self._number:,} decisions were looked at{oldest}: {self._reader}"


def key_of(record: Record) -> DecisionKey | None:
    """Return the key of a decision, None for a record that is none."""
    try:
        return _DECODER.decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decisions_in(records: Iterator[Record]) -> Iterator[tuple[Record, Decision]]:
    """Yield each record with its decision. A record that is none is logged and passed over."""
    for record in records:
        try:
            yield record, decode(record.value, Decision)
        except InvalidRecord as error:
            log.warning(
                "%s[%d] %d is no decision: %s", DECISIONS, record.partition, record.offset, printable(str(error))
            )


def _why_undecided(broker: KafkaConnection, position: LogPosition) -> str:
    """Return why the record at this position has no decision, as sentences that end with a blank."""
    ends = end_offsets(broker, TRANSACTIONS)
    if position.partition not in ends:
        return f"The topic has the partitions {', '.join(map(str, sorted(ends)))}. "
    if position.offset >= ends[position.partition]:
        return f"{TRANSACTIONS}[{position.partition}] ends at {ends[position.partition]}. "
    with closing(OffsetReader(broker, STREAM_GROUP)) as offsets:
        decided = offsets.committed(TRANSACTIONS, [position.partition]).get(position.partition, 0)
    if position.offset >= decided:
        return (
            f"It waits: the stream workers have decided {TRANSACTIONS}[{position.partition}] up to {decided}. Is one "
            "running? `cardwatch ps`, `cardwatch logs stream`. "
        )
    letter = find_letter(broker, position).letter
    if letter is not None:
        shown = f"`cardwatch dead-letters show {position.partition}:{position.offset}`"
        return f"The record was rejected: {printable(letter.letter.reason)}. {shown}. "
    return _why_passed_over(broker, position)


def _why_passed_over(broker: KafkaConnection, position: LogPosition) -> str:
    with closing(OffsetReader(broker)) as offsets:
        begin = offsets.begin(TRANSACTIONS, position.partition)
    if position.offset < begin:
        return f"{TRANSACTIONS}[{position.partition}] begins at {begin}: retention has deleted the records before. "
    records = read_range(
        broker, TRANSACTIONS, {position.partition: position.offset}, {position.partition: position.offset + 1}
    )
    record = next(records, None)
    if record is None:
        return "There is no committed record at this offset: it is a control record or one of an aborted transaction. "
    try:
        transaction = decode(record.value, Transaction)
    except InvalidRecord:
        return ""
    name = escaped(transaction.transaction_id)
    return (
        f"The record repeats transaction {name}, which was decided before, or its decision was deleted by retention: "
        f"`cardwatch decisions show {name}`. "
    )


def _waiting(broker: KafkaConnection) -> str:
    """Return how many records wait for a decision, as a sentence that ends with a blank."""
    ends = end_offsets(broker, TRANSACTIONS)
    with closing(OffsetReader(broker, STREAM_GROUP)) as offsets:
        decided = offsets.committed(TRANSACTIONS, list(ends))
    waiting = sum(max(end - decided.get(partition, 0), 0) for partition, end in ends.items())
    if waiting:
        return f"About {waiting:,} records wait to be decided, it may be one of them. "
    return "No record waits to be decided; it was not sent, or rejected (`cardwatch dead-letters list`). "
