"""Dead letters as the page shows them: texts of others, with card numbers masked and nothing that acts."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from msgspec import Struct

from adapters.records.dead_letters import StoredLetter, newest_letters
from adapters.records.position import LogPosition
from adapters.records.printable import as_hex, as_text, printable
from adapters.records.resending import resend_letter
from adapters.runtime.settings import Settings
from cardwatch.errors import InvalidRecord, Misconfigured
from cardwatch.events import Transaction, decode, from_epoch_ms
from cardwatch.topics import TRANSACTIONS

SHOWN_LETTERS: Final = 50
SHOWN_CHARACTERS: Final = 1_200
"""Characters of a value in the list. A valid transaction has a few hundred."""
SHOWN_BYTES: Final = 256
"""Bytes of a value that is no text."""

log = logging.getLogger(__name__)


class ShownLetter(Struct, frozen=True, kw_only=True):
    """A dead letter. `value` is the beginning of the record, as text or as a hexadecimal listing.

    `obstacle` says why it cannot be sent again now; None if it can, or if that is known only with its original.
    """

    topic: str
    partition: int
    offset: int
    rejected_at: datetime
    field: str
    reason: str
    size: int
    value: str
    is_text: bool
    is_cut: bool
    obstacle: str | None


class ShownLetters(Struct, frozen=True, kw_only=True):
    """The newest letters, the newest first, and the number of all."""

    letters: list[ShownLetter]
    total: int


class Letters:
    """Lists dead letters, and sends one again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def newest(self) -> ShownLetters:
        """Return the newest letters. Raises `BrokerUnavailable` if the topic cannot be read."""
        found = newest_letters(self._settings.kafka, SHOWN_LETTERS, "")
        return ShownLetters(letters=[shown(each) for each in reversed(found.newest)], total=found.total)

    def resend(self, partition: int, offset: int) -> None:
        """Send the record that was rejected at this position again, as `cardwatch dead-letters resend` does.

        Raises `Misconfigured` with the reason if that is impossible, and `BrokerUnavailable`.
        """
        position = LogPosition(TRANSACTIONS, partition, offset)
        log.info("audit: resend the dead letter of %s", position)
        record = resend_letter(self._settings, position)
        if record.obstacle:
            raise Misconfigured(f"the record at {position} was not sent: {record.obstacle}")


def shown(stored: StoredLetter) -> ShownLetter:
    """Return what the page shows of a letter."""
    letter = stored.letter
    value = letter.value or b""
    text = as_text(value)
    return ShownLetter(
        topic=printable(letter.topic),
        partition=letter.partition,
        offset=letter.offset,
        rejected_at=from_epoch_ms(stored.rejected_ms),
        field=printable(letter.field),
        reason=printable(letter.reason)[:SHOWN_CHARACTERS],
        size=letter.value_bytes if letter.value_bytes is not None else len(value),
        value=as_hex(value[:SHOWN_BYTES]) if text is None else text[:SHOWN_CHARACTERS],
        is_text=text is not None,
        is_cut=len(value) > SHOWN_BYTES if text is None else len(text) > SHOWN_CHARACTERS,
        obstacle=_obstacle(stored),
    )


def _obstacle(stored: StoredLetter) -> str | None:
    letter = stored.letter
    if letter.topic != TRANSACTIONS:
        return f"it is no record of {TRANSACTIONS}"
    if letter.value_sha256 is not None:
        return None  # the original is read when it is sent
    try:
        decode(letter.value, Transaction)
    except InvalidRecord as error:
        return f"it is still invalid: {printable(str(error))[:SHOWN_CHARACTERS]}"
    return None
