"""Nothing lost, nothing twice: the topics compared, record by record, under `read_committed`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from adapters.kafka.consumer import LogReader
from adapters.kafka.topics import end_offsets
from adapters.runtime.settings import Settings
from cardwatch.errors import BrokerUnavailable
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, TRANSACTIONS
from cli.demo.observer import Positions

_MAX_SILENT_POLLS: Final = 30


class TopicCounts(Struct, frozen=True, kw_only=True):
    """What became of every live transaction in the log.

    `repeats` are records whose transaction was decided at an earlier offset of the same partition: rightly
    without a decision of their own. `lost` have neither decision nor dead letter and are no repeats.
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


def count_topics(settings: Settings, start: Positions) -> TopicCounts:
    """Read the topics from `start` to their ends, with readers of its own, when everything is decided."""
    ledger = Ledger()
    decide = msgspec.json.Decoder(_Decision).decode
    for record in _records(settings, DECISIONS, start):
        decision = decide(record.value or b"")
        ledger.decided(decision.partition, decision.offset, decision.transaction.transaction_id)
    refuse = msgspec.json.Decoder(_DeadLetter).decode
    for record in _records(settings, DEAD_LETTERS, start):
        letter = refuse(record.value or b"")
        if letter.topic == TRANSACTIONS:
            ledger.refused(letter.partition, letter.offset)
    return ledger.compare(_records(settings, TRANSACTIONS, start))


class Ledger:
    """Decisions and dead letters by their source, to be held against the transactions."""

    def __init__(self) -> None:
        self._decided: set[tuple[int, int]] = set()
        self._refused: set[tuple[int, int]] = set()
        self._first: dict[str, tuple[int, int]] = {}
        self._decisions = 0
        self._duplicates = 0

    def decided(self, partition: int, offset: int, transaction_id: str) -> None:
        """There is a decision for the record at this position of the log."""
        position = (partition, offset)
        self._decisions += 1
        self._duplicates += position in self._decided or transaction_id in self._first
        self._decided.add(position)
        self._first.setdefault(transaction_id, position)

    def refused(self, partition: int, offset: int) -> None:
        """There is a dead letter for the record at this position of the log."""
        self._refused.add((partition, offset))

    def compare(self, transactions: Iterable[Record]) -> TopicCounts:
        """Count, after all decisions and dead letters are in."""
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
        return TopicCounts(
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
            transaction_id = msgspec.json.decode(record.value or b"", type=_Payment).transaction_id
        except msgspec.DecodeError:
            return False
        partition, offset = self._first.get(transaction_id, (-1, -1))
        return partition == record.partition and offset < record.offset


class _Payment(Struct):
    transaction_id: str


class _Decision(Struct):
    transaction: _Payment
    partition: int
    offset: int


class _DeadLetter(Struct):
    topic: str
    partition: int
    offset: int


def _records(settings: Settings, topic: str, start: Positions) -> Iterator[Record]:
    ends = end_offsets(settings.kafka_bootstrap, topic)
    begin = {(topic, partition): start.get((topic, partition), 0) for partition in ends}
    silent_polls = 0
    with LogReader(settings.kafka_bootstrap, begin) as reader:
        while any(reader.reached(topic, partition) < end for partition, end in ends.items()):
            records = reader.poll(1.0)
            yield from records
            silent_polls = 0 if records else silent_polls + 1
            if silent_polls > _MAX_SILENT_POLLS:
                raise BrokerUnavailable(f"{topic} could not be read to its end: nothing has come for 30 s")
