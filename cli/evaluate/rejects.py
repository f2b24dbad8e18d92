"""Handling of rows that do not fit: the first stops the reading, or each is counted and written with its reason."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from msgspec import Struct

from cardwatch.card_numbers import is_moment, looks_like_card_number, mask_card_numbers
from cardwatch.errors import MappingError

MAX_SHOWN_CHARACTERS = 60
MAX_WRITTEN_CHARACTERS: Final = 1_000
"""Characters of a value in the file of rejected rows. A quote that is left open can make a value of megabytes."""
MAX_SHOWN_REASONS: Final = 5


class Fault(NamedTuple):
    """A row of the file that cannot be used. `column` is empty for the row as a whole, `value` None for no value."""

    row: int
    column: str
    value: str | None
    reason: str


Refuse = Callable[[Fault], None]
"""Told about each faulty row, once and in the order of the file; may raise `MappingError`."""


class RejectReason(Struct, frozen=True, kw_only=True):
    """Why `rows` were set aside: what was wrong in which column (empty: the whole row), and the first case."""

    column: str
    reason: str
    rows: int
    first_row: int
    value: str


class Rejects:
    """Writes faults to a CSV file and counts them by column and reason."""

    def __init__(self, write: Callable[[tuple[object, ...]], object]) -> None:
        self.count = 0
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], Fault] = {}
        self._write = write

    def __call__(self, fault: Fault) -> None:
        """Set one row aside."""
        self.count += 1
        kind = fault.column, re.sub(r"\d+", "0", fault.reason)  # the same reason may name other rows
        self._reasons[kind] += 1
        self._first.setdefault(kind, fault)
        self._write((fault.row, fault.column, _cut(fault.value or "", MAX_WRITTEN_CHARACTERS), fault.reason))

    def reasons(self) -> list[RejectReason]:
        """Why rows were set aside, the most frequent reason first."""
        return [
            RejectReason(column=first.column, reason=first.reason, rows=rows, first_row=first.row, value=_value(first))
            for first, rows in ((self._first[kind], rows) for kind, rows in self._reasons.most_common())
        ]


def in_words(reasons: list[RejectReason], used_rows: int) -> list[str]:
    """Return lines that say why rows were rejected, the most frequent reasons first."""
    lines = []
    for reason in reasons[:MAX_SHOWN_REASONS]:
        rows = f"{reason.rows:,} row{'s' if reason.rows > 1 else ''}"
        column = f"column {reason.column}: " if reason.column else ""
        value = f"{reason.value} " if reason.value else ""
        lines.append(f"  {rows}: {column}{value}{reason.reason} (first in row {reason.first_row})")
    if others := sum(reason.rows for reason in reasons[MAX_SHOWN_REASONS:]):
        lines.append(f"  {others:,} more: other reasons")
    if used_rows and sum(reason.rows for reason in reasons) > used_rows:
        lines.append("  More than half of the rows were rejected. Check the mapping before you use the results.")
    return lines


@contextmanager
def rejecting(path: Path) -> Iterator[Rejects]:
    """Faulty rows go to `path` (row, column, value, reason); raises `MappingError` if it cannot be written.

    The file is made with the first faulty row, or when the reading has ended well, so that data that cannot be read at
    all leaves none.
    """
    with _Writer(path) as writer:
        rejects = Rejects(writer.write)
        try:
            yield rejects
        except MappingError as error:
            if not rejects.count:
                raise
            why = "; ".join(line.strip() for line in in_words(rejects.reasons(), 0))
            raise MappingError(f"{error}; {rejects.count:,} rows were rejected, see {path}: {why}") from error
        writer.open()


class _Writer:
    """A CSV file that is opened when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._writer: Any = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with self._translated_errors():
                self._file.close()

    def open(self) -> None:
        """Open the file, unless it is open, and write its header."""
        if self._file is not None:
            return
        with self._translated_errors():
            self._file = self._path.open("w", encoding="utf-8", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow(Fault._fields)

    def write(self, row: tuple[object, ...]) -> None:
        """Write one row."""
        self.open()
        with self._translated_errors():
            self._writer.writerow(row)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MappingError(
                f"{self._path}: cannot be written: {error.strerror}; choose another place with --rejects"
            ) from error


def failing(path: Path) -> Refuse:
    """The first faulty row raises `MappingError` with row, column and value."""

    def fail(fault: Fault) -> None:
        column = f", column {mask_card_numbers(fault.column)}" if fault.column else ""
        value = "" if fault.value is None else f"{shown(fault.value)} "
        raise MappingError(
            f"{path}: row {fault.row}{column}: {value}{fault.reason}. (--on-error reject sets such rows aside instead.)"
        )

    return fail


def shown(value: str) -> str:
    """`value` quoted for a message: cut if long, masked if it may be a card number."""
    return repr(_cut(value, MAX_SHOWN_CHARACTERS))


def _cut(value: str, limit: int) -> str:
    """Mask card numbers in a value, and cut it; what is too far behind the cut to matter is not searched."""
    masked = without_card_numbers(value[: 10 * limit])
    return masked if len(masked) <= limit else masked[:limit] + "..."


def without_card_numbers(value: str) -> str:
    """`value` with all but the last four characters masked if it is a card number, else with those in it masked."""
    if looks_like_card_number(value.strip()) and not is_moment(value.strip()):
        return "*" * (len(value) - 4) + value[-4:]
    return mask_card_numbers(value)


def _value(fault: Fault) -> str:
    return "" if fault.value is None else shown(fault.value)
