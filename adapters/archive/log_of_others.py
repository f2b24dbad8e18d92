"""Whether Parquet files that another program wrote can be read as a log of transactions.

The archive's own files have the schema of `adapters.archive.layout`. Files of others may have the columns in any order,
further ones, and other types of the same kind; a text in the place of a number, or a time as a number, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from adapters.archive.arrow_columns import KERNEL_COLUMNS
from adapters.archive.log_files import LOG_POSITION
from cardwatch.errors import Misconfigured
from cardwatch.events import MAX_AMOUNT_MINOR

MAX_PARTITIONS: Final = 100_000
"""A log is replayed partition by partition, so each number takes time, even without rows."""

_OPTIONAL: Final = ("latitude", "longitude", "device_id", "previous_outcome")


def require_log_of_transactions(paths: Iterable[Path]) -> None:
    """Raise `Misconfigured`, with file and column, for a file that cannot be replayed. Only its footer is read."""
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                _check_schema(path, file.schema_arrow)
                for group in range(file.metadata.num_row_groups):
                    _check_values(path, file.metadata.row_group(group))
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise Misconfigured(f"{path} cannot be read as Parquet: {error}") from error


def _check_schema(path: Path, schema: pa.Schema) -> None:
    for name in (*LOG_POSITION, *KERNEL_COLUMNS):
        if (found := schema.names.count(name)) != 1:
            problem = "has no column" if not found else f"has {found} columns"
            raise Misconfigured(f"{path} {problem} {name}; a log needs {', '.join((*LOG_POSITION, *KERNEL_COLUMNS))}")
        kind = schema.field(name).type
        if pa.types.is_null(kind) and name in _OPTIONAL:
            continue
        is_right, meaning = _KINDS.get(name, (_is_text, "text"))
        if not is_right(kind):
            raise Misconfigured(f"{path}: column {name} has the type {kind}; it must be {meaning}")


def _check_values(path: Path, row_group: Any) -> None:
    columns = (row_group.column(position) for position in range(row_group.num_columns))
    statistics = {column.path_in_schema: column.statistics for column in columns}
    for name in (*LOG_POSITION, *KERNEL_COLUMNS):
        known = statistics.get(name)
        if name not in _OPTIONAL and known is not None and known.has_null_count and known.null_count:
            raise Misconfigured(f"{path}: {known.null_count} rows have no {name}, which is required")
    for name, end in (("partition", MAX_PARTITIONS), ("log_offset", 2**62), ("amount_minor", MAX_AMOUNT_MINOR + 1)):
        known = statistics[name]
        if known is not None and known.has_min_max and not 0 <= known.min <= known.max < end:
            raise Misconfigured(
                f"{path}: column {name} reaches from {known.min} to {known.max}, outside 0 to {end - 1}"
            )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


_KINDS: Final[dict[str, tuple[Callable[[pa.DataType], bool], str]]] = {
    "partition": (pa.types.is_integer, "a whole number"),
    "log_offset": (pa.types.is_integer, "a whole number"),
    "amount_minor": (pa.types.is_integer, "a whole number of minor units"),
    "occurred_at": (pa.types.is_timestamp, "a timestamp"),
    "latitude": (_is_number, "a number of degrees"),
    "longitude": (_is_number, "a number of degrees"),
}
