"""The first rows of a file of unknown format: how it is written, and the texts of its columns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

from adapters.archive.containers import HEAD_BYTES, is_parquet, read_head
from adapters.archive.encodings import decoded_head, guess_encoding
from adapters.archive.tabular import CsvDialect, TextBatch, column_names, read_text
from cardwatch.errors import MappingError
from cli.evaluate.header import DELIMITERS, looks_like_data, split_line
from cli.evaluate.mapping import Mapping
from cli.evaluate.parsing import clean

SAMPLE_ROWS: Final = 5_000
"""Enough to see both classes of most data sets, and read within a second."""
_LINES: Final = 200
_MOSTLY: Final = 0.3
"""The share of values in single quotes from which on these are the file's quotes."""

Texts = Any  # a pa.StringArray, null where a value is missing


class Sample(NamedTuple):
    """The first rows. `columns` hold the texts of each column; `batch` the same rows as the command reads them."""

    dialect: CsvDialect
    columns: dict[str, Texts]
    batch: TextBatch


def read_sample(path: Path) -> Sample:
    """Read the first rows. Raises `MappingError` if the file is no table."""
    dialect = CsvDialect() if is_parquet(path) else sniff(path)
    names = column_names(path, dialect)
    usable = [name for name in names if name.strip() and names.count(name) == 1]
    batch = _first_rows(path, usable, dialect)
    missing = Mapping.__struct_defaults__[1]
    return Sample(dialect, {name: clean(texts, missing) for name, texts in batch.columns.items()}, batch)


def sniff(path: Path) -> CsvDialect:
    """Return how a CSV file is written, by its first lines."""
    head = read_head(path)
    encoding = guess_encoding(head)
    text = decoded_head(path, head, encoding).removeprefix("\ufeff")
    lines = text.splitlines()[:_LINES]
    if len(head) >= HEAD_BYTES and len(lines) < _LINES:
        lines = lines[:-1]  # it may have been cut
    if not lines:
        raise MappingError(f"{path}: no table can be seen: its first line is longer than {HEAD_BYTES:,} bytes")
    delimiter = max(DELIMITERS, key=lambda candidate: _regularity(lines, candidate))
    rows = [split_line(line, delimiter, '"') for line in lines]
    [(width, _)] = Counter(len(row) for row in rows if any(row)).most_common(1)
    skipped = next(position for position, row in enumerate(rows) if len(row) == width and any(row))
    values = [value for row in rows[skipped + 1 :] for value in row]
    quoted = sum(len(value) > 1 and value[0] == value[-1] == "'" for value in values)
    quote = "'" if quoted > _MOSTLY * max(len(values), 1) else '"'
    names = [f"column_{number}" for number in range(1, width + 1)] if looks_like_data(rows[skipped]) else None
    return CsvDialect(delimiter=delimiter, quote=quote, encoding=encoding, skip_rows=skipped, column_names=names)


def _regularity(lines: list[str], delimiter: str) -> tuple[float, int]:
    """How well a delimiter explains the lines: the share of lines that it splits into the same number of columns."""
    widths = Counter(len(split_line(line, delimiter, '"')) for line in lines if line.strip())
    width, count = max(widths.items(), key=lambda item: (item[0] > 1) * item[1])
    return (count if width > 1 else 0), width


def _first_rows(path: Path, names: list[str], dialect: CsvDialect) -> TextBatch:
    broken: list[str] = []

    def malformed(row: int, reason: str) -> None:
        """Leave it out: the sample only has to show how the columns are written."""
        broken.append(f"; row {row} {reason}")

    batch = next(read_text(path, names, dialect, malformed), None)
    if batch is None or not len(batch.numbers):
        raise MappingError(f"{path}: has no rows to propose a mapping from{''.join(broken[:1])}")
    return TextBatch(batch.numbers[:SAMPLE_ROWS], {name: texts[:SAMPLE_ROWS] for name, texts in batch.columns.items()})


def distinct(texts: Texts) -> list[str]:
    """Return the different values, without the missing ones."""
    values: list[str | None] = texts.unique().to_pylist()
    return [value for value in values if value is not None]
