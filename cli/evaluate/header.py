"""Checks that a file has the columns of its mapping, and says what its first rows are if it has not.

Nothing of the data is quoted: names are masked, and where the first row is data, no value of it is shown.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping as Columns
from pathlib import Path
from typing import Final, NamedTuple

from adapters.archive.containers import is_parquet, read_head
from adapters.archive.encodings import decoded_head
from adapters.archive.tabular import CsvDialect, column_names
from cardwatch.card_numbers import mask_card_numbers
from cardwatch.errors import MappingError
from cli.evaluate.mapping_file import suggestion

DELIMITERS: Final = (",", ";", "\t", "|")
MAX_LINES_BEFORE_NAMES: Final = 20
"""A header that stands below this line is not looked for."""
_MAX_NAMES_SHOWN: Final = 40
_DATA: Final = re.compile(
    r"[+-]?[\d.,]*\d([eE][+-]?\d+)?"  # a number
    r"|\d{4}-\d\d?-\d\d?\b.*|\d\d?[./-]\d\d?[./-]\d{2,4}\b.*|\d\d?:\d\d(:\d\d.*)?",  # a date or a time of day
    re.DOTALL,
)


def check_columns(path: Path, used: Columns[str, str], dialect: CsvDialect) -> None:
    """Check that every column of `used` (our field -> their column) is there once.

    Raises `MappingError` that says what the first rows look like instead: data, a title, another delimiter.
    """
    names = column_names(path, dialect)
    for field, column in used.items():
        if names.count(column) > 1:
            raise MappingError(f"{path}: {names.count(column)} columns are called {column!r}, which is {field}")
        if column not in names:
            missing = f"{path}: has no column {column!r}, which the mapping gives for {field}"
            raise MappingError(missing + _instead(path, column, names, set(used.values()), dialect))


def looks_like_data(names: list[str]) -> bool:
    """Return whether a first row is data rather than names: a card number, or mostly numbers, dates and times."""
    filled = [name.strip() for name in names if name.strip()]
    if any(mask_card_numbers(name) != name for name in filled):
        return True
    return 2 * sum(bool(_DATA.fullmatch(name)) for name in filled) >= max(len(filled), 1)


def split_line(line: str, delimiter: str, quote: str) -> list[str]:
    """Return the values of one line of CSV."""
    if not quote:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter, quotechar=quote), [])


class _Place(NamedTuple):
    """Where the names of all columns stand: lines before them, and what separates them."""

    skip_rows: int
    delimiter: str


def _instead(path: Path, column: str, names: list[str], needed: set[str], dialect: CsvDialect) -> str:
    """Say what to do about a missing column, and the columns that there are."""
    if not is_parquet(path) and dialect.column_names is None:
        lines = first_lines(path, dialect)
        if place := _find_names(lines, needed, dialect):
            return _keys_for(place, dialect)
        parts = [part for name in names for part in re.split(r"[,;\t|]", name)]
        if looks_like_data(parts):
            return (
                f". Row {dialect.skip_rows + 1} looks like data, not like the names of columns: list the names in the"
                " mapping, in the order of the columns (`file: {column_names: [time, card, ...]}`), or put a row with"
                " the names in front"
            )
        if hint := _delimiter_hint(names):
            return f"; {hint} Its columns: {_shown(names)}"
    return f"{suggestion(column, names) or '.'} Its columns: {_shown(names)}"


def first_lines(path: Path, dialect: CsvDialect) -> list[str]:
    """Return the first lines of a CSV file, without what stands before its header by the dialect."""
    text = decoded_head(path, read_head(path), dialect.encoding, dialect.delimiter)
    return text.removeprefix("\ufeff").splitlines()[dialect.skip_rows : dialect.skip_rows + MAX_LINES_BEFORE_NAMES]


def _find_names(lines: list[str], needed: set[str], dialect: CsvDialect) -> _Place | None:
    """The first line that has all names that the mapping uses, by any delimiter."""
    for before, line in enumerate(lines):
        for delimiter in dict.fromkeys((dialect.delimiter, *DELIMITERS)):
            if needed <= set(split_line(line, delimiter, dialect.quote)):
                return _Place(dialect.skip_rows + before, delimiter)
    return None


def _keys_for(place: _Place, dialect: CsvDialect) -> str:
    if place.skip_rows == dialect.skip_rows:
        return f"; {_delimiter_question(place.delimiter)}"
    keys = [f"skip_rows: {place.skip_rows}"]
    if place.delimiter != dialect.delimiter:
        keys.append(f"delimiter: {written(place.delimiter)}")
    return (
        f". Row {place.skip_rows + 1} holds the names of the columns: the mapping needs `file: {{{', '.join(keys)}}}`"
    )


def written(delimiter: str) -> str:
    """A delimiter as YAML writes it."""
    return '"\\t"' if delimiter == "\t" else f'"{delimiter}"'


def _delimiter_hint(names: list[str]) -> str:
    if len(names) > 1:
        return ""
    found = next((delimiter for delimiter in (";", "\t", "|", ",") if delimiter in names[0]), None)
    if found is None:
        return ""
    return _delimiter_question(found)


def _delimiter_question(delimiter: str) -> str:
    return (
        f"is {written(delimiter)} what separates the columns? Then the mapping needs"
        f" `file: {{delimiter: {written(delimiter)}}}`."
    )


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES_SHOWN} more" if len(names) > _MAX_NAMES_SHOWN else ""
    return ", ".join(mask_card_numbers(name) for name in names[:_MAX_NAMES_SHOWN]) + more
