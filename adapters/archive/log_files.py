"""A log that lies in Parquet files, read in its order: one partition at a time, by offset, in bounded memory.

Files lie by event date, so a late transaction puts a later offset into an earlier file: stretches overlap. Each row
group is a stretch whose first and last offset its Parquet statistics tell; a stretch is opened when the
reading has come to its first offset and closed after its last. Offsets may be left out (the markers of Kafka's
transactions, records that became dead letters); an offset that is there twice, or a stretch that is not in
order or not as the manifest says, is an error.
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

PLACE: Final = ("partition", "log_offset")
BATCH_ROWS: Final = 65_536


class RowGroupRange(Struct, frozen=True):
    """One row group of a file, with the partitions and offsets that lie in it (both ends included)."""

    path: Path
    group: int
    rows: int
    first_partition: int
    last_partition: int
    first_offset: int
    last_offset: int

    def holds(self, partition: int) -> bool:
        """Whether rows of this partition may be in it."""
        return self.first_partition <= partition <= self.last_partition


def find_stretches(files: Iterable[tuple[Path, int | None]]) -> list[RowGroupRange]:
    """The stretches of these files, each with the number of rows that it must have, where that is known.

    Raises `CardwatchError` for a file that is missing, damaged, or not what the manifest says.
    """
    return [stretch for path, rows in files for stretch in _stretches_of(path, rows)]


def partitions_of(stretches: Iterable[RowGroupRange]) -> list[int]:
    """Every partition that may be in one of them, in order. An empty one among them has no rows to read."""
    return sorted({p for each in stretches for p in range(each.first_partition, each.last_partition + 1)})


def read_in_log_order(
    stretches: Sequence[RowGroupRange], partition: int, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS
) -> Iterator[pa.Table]:
    """The rows of one partition by ascending offset, these columns, in tables of about `batch_rows` rows."""
    waiting = deque(sorted((s for s in stretches if s.holds(partition)), key=lambda s: (s.first_offset, s.path)))
    reading: list[_Reader] = []
    collected: list[pa.Table] = []
    last = -1
    while waiting or reading:
        while waiting and (not reading or waiting[0].first_offset <= min(r.last_offset for r in reading)):
            reader = _Reader(waiting.popleft(), partition, columns, batch_rows)
            if reader.advance():
                reading.append(reader)
        if not reading:
            continue
        known_up_to = min(reader.last_offset for reader in reading)
        merged = _merged([reader.take_up_to(known_up_to) for reader in reading], partition)
        last = _check_follows(merged, last, partition)
        reading = [reader for reader in reading if reader.held.num_rows or reader.advance()]
        collected.append(merged)
        if sum(table.num_rows for table in collected) >= batch_rows:
            yield pa.concat_tables(collected)
            collected = []
    if collected:
        yield pa.concat_tables(collected)


class _Reader:
    """One stretch on its way through memory. `held`: rows that were read and not taken yet, by offset."""

    def __init__(self, stretch: RowGroupRange, partition: int, columns: Sequence[str], batch_rows: int) -> None:
        self._stretch, self._partition = stretch, partition
        names = list(dict.fromkeys([*PLACE, *columns]))
        try:
            self._file = pq.ParquetFile(stretch.path, read_dictionary=[n for n in REPEATING_COLUMNS if n in names])
            self._batches = self._file.iter_batches(
                batch_rows, row_groups=[stretch.group], columns=names, use_threads=False
            )
        except (OSError, pa.ArrowException) as error:
            raise _damaged(stretch.path, error) from error
        self.held: pa.Table = pa.table({})
        self._offsets: NDArray[np.int64] = np.zeros(0, np.int64)
        self._read_up_to = -1

    @property
    def last_offset(self) -> int:
        """The offset up to which this stretch is in memory."""
        return self._read_up_to

    def advance(self) -> bool:
        """Read on; False when there is nothing left, and then the file is closed."""
        try:
            for batch in self._batches:
                rows = pa.Table.from_batches([batch])
                if self._stretch.first_partition != self._stretch.last_partition:
                    rows = rows.filter(pc.equal(rows["partition"], pa.scalar(self._partition, pa.int32())))
                if rows.num_rows:
                    self._hold(rows)
                    return True
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self._stretch.path, error) from error
        self._file.close()
        return False

    def take_up_to(self, offset: int) -> pa.Table:
        """The rows held up to this offset; they are not held any more."""
        count = int(np.searchsorted(self._offsets, offset, side="right"))
        taken, self.held = self.held.slice(0, count), self.held.slice(count)
        self._offsets = self._offsets[count:]
        return taken

    def _hold(self, rows: pa.Table) -> None:
        self.held, self._offsets = rows, log_offsets(rows)
        if (np.diff(self._offsets) <= 0).any() or self._offsets[0] <= self._read_up_to:
            raise CardwatchError(
                f"{self._stretch.path}: partition {self._partition} is not in the order of log_offset; "
                "the file was not written by the archive, or is damaged"
            )
        self._read_up_to = int(self._offsets[-1])


def log_offsets(rows: pa.Table) -> NDArray[np.int64]:
    """The offsets of these rows, int64 [n]."""
    return rows["log_offset"].to_numpy().astype(np.int64, copy=False)


def _stretches_of(path: Path, rows: int | None) -> Iterator[RowGroupRange]:
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            names = file.schema_arrow.names
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    if rows is not None and metadata.num_rows != rows:
        raise CardwatchError(f"{path} has {metadata.num_rows} rows, the archive's manifest says {rows}")
    if missing := [name for name in PLACE if name not in names]:
        raise CardwatchError(f"{path} has no column {missing[0]}: it does not say where its rows are in the log")
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).num_rows:
            partitions, offsets = (_bounds(path, metadata, group, name) for name in PLACE)
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
    merged = pa.concat_tables(parts)
    return merged if len(parts) == 1 else merged.take(np.argsort(log_offsets(merged), kind="stable"))


def _check_follows(rows: pa.Table, last: int, partition: int) -> int:
    offsets = log_offsets(rows)
    repeated = offsets[np.flatnonzero(np.diff(offsets, prepend=last) <= 0)]
    if len(repeated):
        raise CardwatchError(f"offset {repeated[0]} of partition {partition} is in the archive twice")
    return int(offsets[-1])


def _damaged(path: Path, error: Exception) -> CardwatchError:
    return CardwatchError(f"{path} cannot be read: {error}; restore it, or rebuild the archive from the topics")
