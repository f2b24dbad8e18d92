"""Audit of the topics: every transaction has exactly one decision, compared record by record under `read_committed`.

The topics are read with the Kafka client that the services do not use, so that an error of a client cannot hide itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from adapters.kafka.consumer import LogReader
from adapters.kafka.library import other_client
from adapters.kafka.topics import end_offsets
from adapters.runtime.settings import Settings
from cardwatch.errors import BrokerUnavailable, InvalidRecord
from cardwatch.events import DeadLetter, decode
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, TRANSACTIONS
from cli.demo.observer import Positions

_MAX_SILENT_POLLS: Final = 30


class TopicAudit(Struct, frozen=True, kw_only=True):
    """Counts of the live transactions in the log and of their decisions.

    `repeats` are records whose transaction was decided at an earlier offset of the same partition; they get
    no second decision. `lost` have neither decision nor dead letter and are no repeats.
    `duplicates` are decisions beyond the first for a position in the log or for a transaction id. `strays`
    are decisions for positions that hold no live transaction.
    """

    transactions: int
    decisions: int
    dead_letters: int
    repeats: int
    lost: int
    duplicates: int
    strays: int


def audit_topics(settings: Settings, start: Positions) -> TopicAudit:
    """Read the topics from `start` to their ends and count; call it when everything is decided."""
    ledger = DecisionLedger()
    decode_position = msgspec.json.Decoder(_DecisionPosition).decode
    for record in committed_records(settings, DECISIONS, start):
        try:
            decision = decode_position(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # it decides nothing: if it replaced a decision, that one is counted as lost
        ledger.decided(decision.partition, decision.offset, decision.transaction.transaction_id)
    for record in committed_records(settings, DEAD_LETTERS, start):
        try:
            letter = decode(record.value, DeadLetter)
        except InvalidRecord:
            continue
        if letter.topic == TRANSACTIONS:
            ledger.refused(letter.partition, letter.offset)
    return ledger.compare(committed_records(settings, TRANSACTIONS, start))


class DecisionLedger:
    """Decisions and dead letters by the position of their transaction."""

    def __init__(self) -> None:
        self._decided: set[tuple[int, int]] = set()
        self._refused: set[tuple[int, int]] = set()
        self._first: dict[str, tuple[int, int]] = {}
        self._decisions = 0
        self._duplicates = 0

    def decided(self, partition: int, offset: int, transaction_id: str) -> None:
        """Record a decision for the transaction at this position of the log."""
        position = (partition, offset)
        self._decisions += 1
        self._duplicates += position in self._decided or transaction_id in self._first
        self._decided.add(position)
        self._first.setdefault(transaction_id, position)

    def refused(self, partition: int, offset: int) -> None:
        """Record a dead letter for the record at this position of the log."""
        self._refused.add((partition, offset))

    def compare(self, transactions: Iterable[Record]) -> TopicAudit:
        """Return the counts; call it after all decisions and dead letters are recorded."""
        total = matched = repeats = lost = 0
        for record in transactions:
            total += 1
            position = (record.partition, record.offset)
            if position in self._decided:
                matched += 1
            elif position not in self._refused:
                is_repeat = self._is_repeat(record)
                repeats += is_repeat
                lost += not is_repeat
        return TopicAudit(
            transactions=total,
            decisions=self._decisions,
            dead_letters=len(self._refused),
            repeats=repeats,
            lost=lost,
            duplicates=self._duplicates,
            strays=len(self._decided) - matched,
        )

    def _is_repeat(self, record: Record) -> bool:
        try:
            transaction_id = msgspec.json.decode(record.value or b"", type=_TransactionId).transaction_id
        except msgspec.DecodeError:
            return False
        partition, offset = self._first.get(transaction_id, (-1, -1))
        return partition == record.partition and offset < record.offset


class _TransactionId(Struct):
    transaction_id: str


class _DecisionPosition(Struct):
    transaction: _TransactionId
    partition: int
    offset: int


def committed_records(settings: Settings, topic: str, start: Positions) -> Iterator[Record]:
    """Yield the committed records of a topic from `start` to its end now; a partition without a start is read whole.

    Raises `BrokerUnavailable` if the end cannot be reached.
    """
    witness = other_client(settings.kafka)
    ends = end_offsets(witness, topic)
    begin = {(topic, partition): start.get((topic, partition), 0) for partition in ends}
    silent_polls = 0
    with LogReader(witness, begin) as reader:
        while any(reader.reached(topic, partition) < end for partition, end in ends.items()):
            records = reader.poll(1.0)
            yield from records
            silent_polls = 0 if records else silent_polls + 1
            if silent_polls > _MAX_SILENT_POLLS:
                raise BrokerUnavailable(f"{topic} could not be read to its end: no record arrived for 30 s")
