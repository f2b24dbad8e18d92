"""Dead letters sent again: the rejected records that are valid transactions now, each under its card as the key."""

from __future__ import annotations

from typing import NamedTuple

from adapters.kafka.producer import LogWriter
from adapters.records.dead_letters import StoredLetter, find_letter, read_original
from adapters.records.position import LogPosition
from adapters.records.printable import printable
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.settings import Settings
from cardwatch.errors import InvalidRecord, Misconfigured
from cardwatch.events import Transaction, decode
from cardwatch.topics import TRANSACTIONS


class Resendable(NamedTuple):
    """What would be sent for a letter: card and value; `obstacle` says why nothing, and is empty otherwise."""

    card_id: str
    value: bytes
    obstacle: str


def resendable(broker: KafkaConnection, stored: StoredLetter) -> Resendable:
    """Return what can be sent for a letter now. Raises `BrokerUnavailable` if its original cannot be read."""
    letter = stored.letter
    if letter.topic != TRANSACTIONS:
        return Resendable("", b"", "not selected")
    value = read_original(broker, letter).value
    if value is None and letter.value_sha256 is not None:
        return Resendable("", b"", "cut, and the original is no longer in the topic")
    try:
        transaction = decode(value, Transaction)
    except InvalidRecord as error:
        return Resendable("", b"", f"still invalid ({printable(str(error))[:80]})")
    return Resendable(transaction.card_id, value or b"", "")


def resend_letter(settings: Settings, position: LogPosition, *, dry_run: bool = False) -> Resendable:
    """Send the rejected record at `position` again, if it is valid now, and return what was sent or the obstacle.

    It leaves the beginning of the next `cardwatch dead-letters resend` where it is. A transaction that was decided
    already is recognised by its id. Raises `Misconfigured` if there is no letter about this position.
    """
    found = find_letter(settings.kafka, position)
    if found.letter is None:
        raise Misconfigured(f"there is no dead letter of {position}. {found.searched}. `cardwatch dead-letters list`")
    record = resendable(settings.kafka, found.letter)
    if record.obstacle or dry_run:
        return record
    writer = LogWriter(settings.kafka, partitioner=settings.partitioner)
    try:
        writer.write(TRANSACTIONS, record.card_id, record.value)
        writer.flush()
    finally:
        writer.close()
    return record
