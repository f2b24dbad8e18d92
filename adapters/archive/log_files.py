"""A log in Parquet files, read per partition in the order of offsets and in bounded memory.

Files are grouped by event date, and late transactions have later offsets in earlier files, so the offset ranges of row
groups overlap. The Parquet statistics of a row group give its range. The merge opens a row group at its first offset
and closes it after its last. Offsets may be missing (transaction markers of Kafka, dead letters). A repeated offset, a
row group that is not sorted, and a file that differs from the manifest are errors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.arrow_columns import REPEATING_COLUMNS
from cardwatch.errors import CardwatchError

LOG_POSITION: Final = ("partition", "log_offset")
"""Columns with the position of a row in the log."""
BATCH_ROWS: Final = 65_536
_ADDED_LATER: Final = ("card_range",)
"""Texts that files of former versions lack. They are missing values there."""


class RowGroupRange(Struct, frozen=True):
    """A row group of a file, with the ranges of its partitions and offsets (both ends included)."""

    path: Path
    group: int
    rows: int
    first_partition: int
    last_partition: int
    first_offset: int
    last_offset: int

    def holds(self, partition: int) -> bool:
        """Whether the row group may contain rows of the partition."""
        return self.first_partition <= partition <= self.last_partition


def find_row_groups(files: Iterable[tuple[Path, int | None]]) -> list[RowGroupRange]:
    """Return the row groups of files, given each file's expected number of rows or None.

    Raises `CardwatchError` for a file that is missing or damaged, or differs from the manifest.
    """
    return [row_group for path, rows in files for row_group in _row_groups_of(path, rows)]


def partitions_of(row_groups: Iterable[RowGroupRange]) -> list[int]:
    """Return all partitions that the row groups may contain, sorted. Some of them may have no rows."""
    return sorted({p for each in row_groups for p in range(each.first_partition, each.last_partition + 1)})


def read_in_log_order(
    row_groups: Sequence[RowGroupRange], partition: int, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS
) -> Iterator[pa.Table]:
    """Yield the given columns of one partition by ascending offset, in tables of about `batch_rows` rows."""
    unopened = deque(sorted((g for g in row_groups if g.holds(partition)), key=lambda g: (g.first_offset, g.path)))
    readers: list[_Reader] = []
    collected: list[pa.Table] = []
    last = -1
    while unopened or readers:
        while unopened and (not readers or unopened[0].first_offset <= min(r.last_offset for r in readers)):
            reader = _Reader(unopened.popleft(), partition, columns, batch_rows)
            if reader.advance():
                readers.append(reader)
        if not readers:
            continue
        known_up_to = min(reader.last_offset for reader in readers)
        merged = _merged([reader.take_up_to(known_up_to) for reader in readers], partition)
        last = _check_follows(merged, last, partition)
        readers = [reader for reader in readers if reader.held.num_rows or reader.advance()]
        collected.append(merged)
        if sum(table.num_rows for table in collected) >= batch_rows:
            yield _concatenated(collected)
            collected = []
    if collected:
        yield _concatenated(collected)


class _Reader:
    """Reader of one row group. `held` are rows that were read and not taken yet, by offset.

    `last_offset`: the offset up to which the row group was read.
    """

    def __init__(self, row_group: RowGroupRange, partition: int, columns: Sequence[str], batch_rows: int) -> None:
        self._row_group, self._partition = row_group, partition
        self._names = list(dict.fromkeys([*LOG_POSITION, *columns]))
        try:
            self._file = pq.ParquetFile(
                row_group.path, read_dictionary=[name for name in REPEATING_COLUMNS if name in self._names]
            )
            self._batches = self._file.iter_batches(
                batch_rows, row_groups=[row_group.group], columns=self._names, use_threads=False
            )
        except (OSError, pa.ArrowException) as error:
            raise _damaged(row_group.path, error) from error
        self.held: pa.Table = pa.table({})
        self._offsets: NDArray[np.int64] = np.zeros(0, np.int64)
        self.last_offset = -1

    def advance(self) -> bool:
        """Read the next batch. Return False, and close the file, after the last one."""
        try:
            for batch in self._batches:
                rows = self._with_added_columns(pa.Table.from_batches([batch]))
                if self._row_group.first_partition != self._row_group.last_partition:
                    rows = rows.filter(pc.equal(rows["partition"], pa.scalar(self._partition, pa.int32())))
                if rows.num_rows:
                    self._hold(rows)
                    return True
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self._row_group.path, error) from error
        self._file.close()
        return False

    def _with_added_columns(self, rows: pa.Table) -> pa.Table:
        for name in _ADDED_LATER:
            if name in self._names and name not in rows.column_names:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
        return rows.select([name for name in self._names if name in rows.column_names])

    def take_up_to(self, offset: int) -> pa.Table:
        """Return and remove the held rows up to this offset."""
        count = int(np.searchsorted(self._offsets, offset, side="right"))
        taken, self.held = self.held.slice(0, count), self.held.slice(count)
        self._offsets = self._offsets[count:]
        return taken

    def _hold(self, rows: pa.Table) -> None:
        self.held, self._offsets = rows, log_offsets(rows)
        if (np.diff(self._offsets) <= 0).any() or self._offsets[0] <= self.last_offset:
            raise CardwatchError(
                f"{self._row_group.path}: partition {self._partition} is not in the order of log_offset; "
                "the file was not written by the archive, or is damaged"
            )
        self.last_offset = int(self._offsets[-1])


def log_offsets(rows: pa.Table) -> NDArray[np.int64]:
    """Return the offsets of the rows, int64 [n]."""
    return rows["log_offset"].to_numpy().astype(np.int64, copy=False)


def _row_groups_of(path: Path, rows: int | None) -> Iterator[RowGroupRange]:
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            names = file.schema_arrow.names
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    if rows is not None and metadata.num_rows != rows:
        raise CardwatchError(f"{path} has {metadata.num_rows} rows, the archive's manifest says {rows}")
    if missing := [name for name in LOG_POSITION if name not in names]:
        raise CardwatchError(f"{path} has no column {missing[0]}: the log positions of its rows are unknown")
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).num_rows:
            partitions, offsets = (_bounds(path, metadata, group, name) for name in LOG_POSITION)
            yield RowGroupRange(path, group, metadata.row_group(group).num_rows, *partitions, *offsets)


def _bounds(path: Path, metadata: Any, group: int, name: str) -> tuple[int, int]:
    row_group = metadata.row_group(group)
    columns = (row_group.column(position) for position in range(row_group.num_columns))
    statistics = next(column.statistics for column in columns if column.path_in_schema == name)
    if statistics is None or not statistics.has_min_max:
        raise CardwatchError(f"{path} has no Parquet statistics of {name}; write it with statistics")
    return int(statistics.min), int(statistics.max)


def _merged(parts: list[pa.Table], partition: int) -> pa.Table:
    parts = [part for part in parts if part.num_rows]
    merged = _concatenated(parts)
    return merged if len(parts) == 1 else merged.take(np.argsort(log_offsets(merged), kind="stable"))


def _concatenated(parts: list[pa.Table]) -> pa.Table:
    """Concatenate tables, of which those of others may have different types of one kind."""
    return pa.concat_tables(parts, promote_options="permissive")


def _check_follows(rows: pa.Table, last: int, partition: int) -> int:
    offsets = log_offsets(rows)
    repeated = offsets[np.flatnonzero(np.diff(offsets, prepend=last) <= 0)]
    if len(repeated):
        raise CardwatchError(f"offset {repeated[0]} of partition {partition} is in the archive twice")
    return int(offsets[-1])


def _damaged(path: Path, error: Exception) -> CardwatchError:
    return CardwatchError(f"{path} cannot be read: {error}; restore it, or rebuild the archive from the topics")
