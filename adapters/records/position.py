"""Positions of records in the log, as people type them and as lists print them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from cardwatch.topics import TRANSACTIONS

_DIGITS: Final = r"\d{1,18}"
_FORMS: Final = (
    rf"(?P<topic>)(?P<partition>{_DIGITS}):(?P<offset>{_DIGITS})",
    rf"(?P<topic>[\w.-]+)-(?P<partition>{_DIGITS})-(?P<offset>{_DIGITS})",
    rf"(?P<topic>[\w.-]+)\[(?P<partition>{_DIGITS})\][ :]?(?P<offset>{_DIGITS})",
)
"""`2:17`, `transactions-2-17`, and `transactions[2] 17` as log lines and lists have it."""
FORMS_TEXT: Final = "2:17, transactions-2-17 or 'transactions[2] 17'"


class LogPosition(NamedTuple):
    """Where a record lies. It is shown as in log lines: `transactions[2] 17`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] {self.offset}"


def parse_position(text: str) -> LogPosition | None:
    """Return the position that `text` names, None if it names none. Without a topic it is one of `transactions`.

    >>> str(parse_position("2:17")), parse_position("transactions-2-17") == parse_position("transactions[2] 17")
    ('transactions[2] 17', True)
    """
    for form in _FORMS:
        if found := re.fullmatch(form, text.strip(), re.ASCII):
            return LogPosition(found["topic"] or TRANSACTIONS, int(found["partition"]), int(found["offset"]))
    return None
