"""CSV and Parquet files with arbitrary columns, read in batches as text with row numbers.

All values become text, so that both formats are parsed alike. Rows are counted from 1. The header of a CSV file is row
1 unless rows are skipped before it, and blank lines count. A quoted value with line breaks is one row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from msgspec import Meta, Struct
from numpy.typing import NDArray

from adapters.archive.containers import READ_ERRORS, damaged, is_parquet, open_text, read_head
from adapters.archive.encodings import decoded_head, wrong_encoding
from cardwatch.card_numbers import mask_card_numbers
from cardwatch.errors import MappingError

BATCH_BYTES: Final = 8 << 20
BATCH_ROWS: Final = 65_536
_WRITE_AS_UTF8: Final = "write the file again with texts in UTF-8, as Parquet requires"
_WHOLE_NUMBERS: Final = {pa.float16(): 2**11, pa.float32(): 2**24}
"""Types of Parquet and the number up to which they hold every whole number."""

Malformed = Callable[[int, str], None]
"""Callback for a row that cannot be split into columns, with its number and the reason."""


class CsvDialect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Format of a CSV file. Parquet files do not need it. With an empty `quote`, no character quotes.

    `skip_rows` lines stand before the row of names. A file without such a row has `column_names`.
    """

    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Meta(max_length=1)] = '"'
    encoding: str = "utf-8"
    skip_rows: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    column_names: Annotated[list[str], Meta(min_length=1)] | None = None


class TextBatch(NamedTuple):
    """n rows. `numbers` are their row numbers, int64 [n]; `columns` contain n texts each, null for missing ones."""

    numbers: NDArray[np.int64]
    columns: dict[str, pa.StringArray]


def column_names(path: Path, dialect: CsvDialect) -> list[str]:
    """Return the names of the file's columns. Raises `MappingError` if the file cannot be read."""
    if is_parquet(path):
        with _parquet(path) as file:
            try:
                return list(file.schema_arrow.names)
            except UnicodeDecodeError as error:
                raise MappingError(f"{path}: the name of a column is not UTF-8 text; {_WRITE_AS_UTF8}") from error
    decoded_head(path, read_head(path), dialect.encoding, dialect.delimiter)
    with open_text(path) as stream, _csv(path, stream, dialect, None, lambda _row: "skip") as reader:
        return list(reader.schema.names)


def read_text(
    path: Path, columns: Sequence[str], dialect: CsvDialect, malformed: Malformed, exact: Collection[str] = ()
) -> Iterator[TextBatch]:
    """Yield the given columns of `path` in the order of rows. Raises `MappingError` if the file cannot be read.

    In the `exact` columns every digit counts: a number that its type in Parquet has rounded to fewer digits is written
    in exponent form with these, as spreadsheets do, and not with all digits of the rounded number.
    """
    if is_parquet(path):
        yield from _read_parquet(path, list(columns), exact)
    else:
        yield from _read_csv(path, list(columns), dialect, malformed)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise MappingError(f"{path}: is not a readable Parquet file: {error}") from error


def _read_parquet(path: Path, columns: list[str], exact: Collection[str]) -> Iterator[TextBatch]:
    row = 1
    with _parquet(path) as file:
        try:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                numbers = np.arange(row, row + batch.num_rows)
                texts = {name: _as_text(path, name, batch.column(name), numbers) for name in columns}
                shortened = {name: _with_lost_digits(batch.column(name), texts[name]) for name in exact}
                yield TextBatch(numbers, texts | shortened)
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise MappingError(f"{path}: cannot be read after row {row - 1}: {error}") from error


def _as_text(path: Path, name: str, values: pa.Array[Any], numbers: NDArray[np.int64]) -> pa.StringArray:
    if pa.types.is_duration(values.type):  # as text it would be a count of its own unit
        raise MappingError(
            f"{path}: column {name}: values of type {values.type} cannot be used; store them as numbers of seconds"
        )
    try:
        texts = cast(pa.StringArray, values.cast(pa.string()))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise MappingError(f"{path}: column {name}: values of type {values.type} cannot be used") from error
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid as error:  # other programs store the bytes of any encoding as text
        row = numbers[_first_not_utf8(texts.cast(pa.binary()))]
        raise MappingError(f"{path}: row {row}, column {name}: is not UTF-8 text; {_WRITE_AS_UTF8}") from error
    return texts


def _with_lost_digits(values: pa.Array[Any], texts: pa.StringArray) -> pa.StringArray:
    """Write the numbers beyond which a short type does not hold every whole one in exponent form."""
    if values.type not in _WHOLE_NUMBERS:
        return texts
    numbers = values.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        large = np.isfinite(numbers) & (np.abs(numbers) > _WHOLE_NUMBERS[values.type])
    if not large.any():
        return texts
    written = [np.format_float_scientific(number, trim="-", exp_digits=2).upper() for number in numbers[large]]
    return cast(pa.StringArray, pc.replace_with_mask(texts, pa.array(large), pa.array(written, pa.string())))


def _csv(
    path: Path,
    stream: pa.NativeFile,
    dialect: CsvDialect,
    columns: list[str] | None,
    on_malformed: Callable[[pyarrow.csv.InvalidRow], Literal["skip", "error"]],
) -> pyarrow.csv.CSVStreamingReader:
    try:
        return pyarrow.csv.open_csv(
            cast(Any, stream),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=BATCH_BYTES,
                encoding=dialect.encoding,
                skip_rows=dialect.skip_rows,
                column_names=dialect.column_names,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=on_malformed,
            ),
            # Read as bytes first, so that the error for a value that is not text can name its row.
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns, column_types=dict.fromkeys(columns or [], pa.binary())
            ),
        )
    except pa.ArrowException as error:
        reason = _first_line(error)
        if "cannot infer number of columns" in reason:
            reason = (
                f"it has no row below the names of its columns, or its first line is longer than {BATCH_BYTES:,} bytes"
            )
        raise MappingError(f"{path}: cannot be read: {reason}") from error
    except READ_ERRORS as error:
        raise damaged(path, error) from error


def _read_csv(path: Path, columns: list[str], dialect: CsvDialect, malformed: Malformed) -> Iterator[TextBatch]:
    broken: list[int] = []

    def skip(row: pyarrow.csv.InvalidRow) -> Literal["skip"]:
        number = row.number or 0  # known, because one thread reads
        broken.append(number)
        lines = row.text.count("\n") + 1
        quote = f", and runs over {lines} lines: is a quote left open?" if lines > 1 else ""
        expected = f"{'the header' if dialect.column_names is None else 'file.column_names'} has {row.expected_columns}"
        malformed(number, f"has {row.actual_columns} columns, {expected}{quote}")
        return "skip"

    row = dialect.skip_rows + (2 if dialect.column_names is None else 1)
    with open_text(path) as stream, _csv(path, stream, dialect, columns, skip) as reader:
        try:
            for batch in reader:
                numbers = np.setdiff1d(np.arange(row, row + batch.num_rows + len(broken)), broken)[: batch.num_rows]
                row = int(numbers[-1]) + 1 if len(numbers) else row
                yield _without_blank_lines(_decoded(path, numbers, batch, dialect))
        except READ_ERRORS as error:
            reason = _first_line(error)
            if "straddles two block boundaries" in reason:
                reason = f"a row is longer than {BATCH_BYTES:,} bytes; is a quote left open?"
            raise MappingError(f"{path}: cannot be read after row {row - 1}: {reason}") from error


def _decoded(path: Path, numbers: NDArray[np.int64], batch: pa.RecordBatch, dialect: CsvDialect) -> TextBatch:
    texts = {}
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        try:
            texts[name] = cast(pa.StringArray, values.cast(pa.string()))
        except pa.ArrowInvalid as error:
            position = _first_not_utf8(values)
            where = f"row {numbers[position]}, column {mask_card_numbers(name)}: "
            raise wrong_encoding(path, where, dialect.encoding, values[position].as_py()) from error
    return TextBatch(numbers, texts)


def _first_not_utf8(values: pa.Array[Any]) -> int:
    for position, value in enumerate(values):
        try:
            bytes(value.as_py()).decode()
        except UnicodeDecodeError:
            return position
    return 0


def _first_line(error: BaseException) -> str:
    """The first line of a message of a library, which may quote the data."""
    return mask_card_numbers((str(error) or type(error).__name__).splitlines()[0])[:200]


def _without_blank_lines(batch: TextBatch) -> TextBatch:
    """Remove blank lines, which are rows with only empty values."""
    filled = np.zeros(len(batch.numbers), np.bool_)
    for values in batch.columns.values():
        filled |= pc.not_equal(values, pa.scalar("")).to_numpy(zero_copy_only=False)
    if filled.all():
        return batch
    return TextBatch(batch.numbers[filled], {name: values.filter(filled) for name, values in batch.columns.items()})
