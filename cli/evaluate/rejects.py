"""Handling of rows that do not fit: the first stops the reading, or each is counted and written with its reason."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cardwatch.card_numbers import looks_like_card_number
from cardwatch.errors import MappingError

MAX_SHOWN_CHARACTERS = 60


class Fault(NamedTuple):
    """A row of the file that cannot be used. `column` is empty for the row as a whole, `value` None for no value."""

    row: int
    column: str
    value: str | None
    reason: str


Refuse = Callable[[Fault], None]
"""Told about each faulty row, once and in the order of the file; may raise `MappingError`."""


class Rejects:
    """Writes faults to a CSV file and counts them."""

    def __init__(self, write: Callable[[tuple[object, ...]], object]) -> None:
        self.count = 0
        self._write = write

    def __call__(self, fault: Fault) -> None:
        """Set one row aside."""
        self.count += 1
        self._write((fault.row, fault.column, _without_card_number(fault.value or ""), fault.reason))


@contextmanager
def rejecting(path: Path) -> Iterator[Rejects]:
    """Faulty rows go to `path` (row, column, value, reason); raises `MappingError` if it cannot be written."""
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise MappingError(
            f"{path}: cannot be written: {error.strerror}; choose another place with --rejects"
        ) from error
    with file:
        writer = csv.writer(file)
        writer.writerow(Fault._fields)
        yield Rejects(writer.writerow)


def failing(path: Path) -> Refuse:
    """The first faulty row raises `MappingError` with row, column and value."""

    def fail(fault: Fault) -> None:
        column = f", column {fault.column}" if fault.column else ""
        value = "" if fault.value is None else f"{shown(fault.value)} "
        raise MappingError(
            f"{path}: row {fault.row}{column}: {value}{fault.reason}. (--on-error reject sets such rows aside instead.)"
        )

    return fail


def shown(value: str) -> str:
    """`value` quoted for a message: cut if long, masked if it may be a card number."""
    value = _without_card_number(value)
    return repr(value if len(value) <= MAX_SHOWN_CHARACTERS else value[:MAX_SHOWN_CHARACTERS] + "...")


def _without_card_number(value: str) -> str:
    return "*" * (len(value) - 4) + value[-4:] if looks_like_card_number(value.strip()) else value
