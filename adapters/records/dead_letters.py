"""Dead letters read from their topic, and the records that were rejected."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from heapq import heappush, heappushpop
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.records.position import LogPosition
from adapters.records.printable import printable
from adapters.records.ranges import BackwardReader, kept_part, read_range
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable, InvalidRecord
from cardwatch.events import DeadLetter, decode
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS, KEYED_TOPICS

log = logging.getLogger(__name__)

GROUP: Final = "cardwatch-dead-letters"
"""Consumer group whose committed offsets say which dead letters were sent again or given up."""
READ_SECONDS: Final = 10.0
"""Timeout for the original of a letter that contains only its beginning."""


class _Named(Struct):
    transaction_id: str = ""


_NAMED: Final = msgspec.json.Decoder(_Named)


class StoredLetter(NamedTuple):
    """A dead letter. `rejected_ms` is the wall-clock time at which it was written, in ms since 1970."""

    rejected_ms: int
    letter: DeadLetter

    @property
    def position(self) -> LogPosition:
        """Where the rejected record lies."""
        return LogPosition(self.letter.topic, self.letter.partition, self.letter.offset)


class NewestLetters(NamedTuple):
    """The newest letters, oldest first, and the number of all letters that were selected."""

    newest: list[StoredLetter]
    total: int


class FoundLetter(NamedTuple):
    """The letter that was looked for, None if there is none, and a sentence that says where it was looked for."""

    letter: StoredLetter | None
    searched: str


class Original(NamedTuple):
    """The whole value of a rejected record, None if it is not known; `source` says where it comes from, or why not."""

    value: bytes | None
    source: str


def newest_letters(broker: KafkaConnection, limit: int, reason: str) -> NewestLetters:
    """Return the newest letters whose reason contains `reason`, by the time at which they were written."""
    newest: list[tuple[int, int, StoredLetter]] = []
    total = 0
    begins, ends = kept_part(broker, DEAD_LETTERS)
    for each in _letters(read_range(broker, DEAD_LETTERS, begins, ends)):
        if reason in each.letter.reason:
            total += 1
            item = (each.rejected_ms, total, each)  # the number keeps the order of the log, and letters uncompared
            if len(newest) < limit:
                heappush(newest, item)
            else:
                heappushpop(newest, item)
    return NewestLetters([each for _, _, each in sorted(newest)], total)


def find_letter(broker: KafkaConnection, wanted: LogPosition) -> FoundLetter:
    """Look for the letter of the record at `wanted`, the newest letters first."""
    # A letter lies in the partition number of its record.
    reader = BackwardReader(broker, DEAD_LETTERS, [wanted.partition])
    number = 0
    while unread := reader.unread:
        for each in _letters(reader.block(unread)):
            number += 1
            if each.position == wanted:
                return FoundLetter(each, "")
    return FoundLetter(None, f"All {number:,} letters of {reader} were looked at")


def find_letter_about(broker: KafkaConnection, transaction_id: str) -> StoredLetter | None:
    """Return the newest letter whose record names this transaction, None if there is none."""
    found = None
    begins, ends = kept_part(broker, DEAD_LETTERS)
    for each in _letters(read_range(broker, DEAD_LETTERS, begins, ends)):
        is_newer = found is None or each.rejected_ms >= found.rejected_ms
        if is_newer and _named_transaction(each.letter.value) == transaction_id:
            found = each
    return found


def _named_transaction(value: bytes | None) -> str:
    """Return the transaction that a rejected record names, empty if it names none that can be read."""
    try:
        return _NAMED.decode(value or b"").transaction_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def letters_to_resend(broker: KafkaConnection, ends: Mapping[int, int], *, again: bool) -> Iterator[StoredLetter]:
    """Yield the letters before `ends` that were not handled by an earlier call, with `again` all of them."""
    begins, _ = kept_part(broker, DEAD_LETTERS)
    if not again:
        with closing(OffsetReader(broker, GROUP)) as offsets:
            handled = offsets.committed(DEAD_LETTERS, list(ends))
        begins = {partition: max(begin, handled.get(partition, 0)) for partition, begin in begins.items()}
    yield from _letters(read_range(broker, DEAD_LETTERS, begins, ends))


def read_original(broker: KafkaConnection, letter: DeadLetter) -> Original:
    """Return the value of the rejected record, from the topic if the letter contains only its beginning.

    Raises `BrokerUnavailable` if the topic cannot be read.
    """
    if letter.value_sha256 is None:
        return Original(letter.value, "the letter has all of it")
    if letter.topic not in KEYED_TOPICS:
        return Original(None, f"{printable(letter.topic)} is no topic of Cardwatch")
    begins, ends = kept_part(broker, letter.topic)
    begin, end = begins.get(letter.partition, 0), ends.get(letter.partition, 0)
    if letter.offset >= end:  # a letter of others, which must not end `resend`
        return Original(None, f"there is no such record: {letter.topic}[{letter.partition}] ends at {end}")
    if letter.offset < begin:
        return Original(
            None, f"retention has deleted it from the topic: {letter.topic}[{letter.partition}] begins at {begin}"
        )
    record = _read_record(broker, LogPosition(letter.topic, letter.partition, letter.offset))
    if record is None or sha256(record.value or b"").hexdigest() != letter.value_sha256:
        return Original(None, "the topic holds another record there: it was deleted and made again since")
    return Original(record.value, "read from the topic")


def _read_record(broker: KafkaConnection, position: LogPosition) -> Record | None:
    """Return the record at a position, None if there is another one or nothing but control records."""
    key = (position.topic, position.partition)
    with LogReader(broker, {key: position.offset}) as reader:
        records = reader.poll(READ_SECONDS, limit=1)
        if not records and reader.reached(*key) <= position.offset:
            raise BrokerUnavailable(f"{position} could not be read within {READ_SECONDS:g} s; is the broker running?")
    return next((record for record in records if record.offset == position.offset), None)


def _letters(records: Iterator[Record]) -> Iterator[StoredLetter]:
    for record in records:
        try:
            yield StoredLetter(record.timestamp_ms, decode(record.value, DeadLetter))
        except InvalidRecord as error:
            log.warning(
                "%s[%d] %d is no dead letter: %s", DEAD_LETTERS, record.partition, record.offset, printable(str(error))
            )
