"""Building of the reference tables again, after an update that has changed their stored form or their content.

Every table that another version has written is built again from the archive, for the same day. All are built before the
first one is replaced; an interruption is continued by the next call. The replaced files are kept, because decisions of
the past name them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.reader import Archive
from adapters.archive.reference_feed import COLUMNS_NEEDED, add_rows
from adapters.archive.reference_tables import FORMER_FOLDER, ReferenceTableStore, parse_name, read_table
from adapters.archive.writer import ArchiveWriter
from cardwatch.errors import CardwatchError, FormerTable
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable

UNFINISHED_FOLDER: Final = ".rebuilding"
"""Folder of new tables while they are built. The next call removes what an interruption has left there."""
FINISHED_FOLDER: Final = ".rebuilt"
"""Folder of the new tables when all of them are built. The next call moves what an interruption has left there."""

_DAY: Final = timedelta(days=1)


class TableOfFormerVersion(NamedTuple):
    """A table in the stored form of another version. `label_ends`: per partition, the label offset it is based on."""

    path: Path
    valid_from: date
    label_ends: Mapping[int, int]


class _AnyContent(Struct):
    """The only field that is read from a table of any version."""

    label_positions: dict[str, int] = {}


class TableRebuild:
    """The rebuild of the reference tables in `folder` from the archive in `archive_folder`.

    `index_url` is the URL of the archive's index, if it is not in the archive's folder. No other process may write
    tables or archive meanwhile.
    """

    def __init__(self, folder: Path, archive_folder: Path, index_url: str = "") -> None:
        self._tables, self._folder = ReferenceTableStore(folder), folder
        self._archive_folder, self._index_url = archive_folder, index_url
        self._archive = Archive(archive_folder, index_url)

    def former_tables(self) -> list[TableOfFormerVersion]:
        """Return the tables of other versions, by day. Raises `CorruptTable` for one that is damaged."""
        return [former for path in self._tables.paths() if (former := _read_former(path)) is not None]

    @property
    def is_interrupted(self) -> bool:
        """Whether an earlier rebuild was interrupted after all tables were built."""
        return (self._folder / FINISHED_FOLDER).exists()

    def outdated_days(self) -> dict[date, str]:
        """Return the closed days for which the index names a replaced table, each with the id of the new one."""
        former = self._tables.former_days()
        if not former or not self._archive.exists:
            return {}
        names = [name for name in map(parse_name, self._tables.paths()) if name is not None]
        current = {name.valid_from: name.table_id for name in names}
        return {
            day: current[day + _DAY]
            for day, table_id in self._archive.closed_days().items()
            if table_id in former and day + _DAY in current
        }

    def run(self, on_built: Callable[[date], None] = lambda _day: None) -> None:
        """Build and replace the tables, and correct the ids in the archive's index. A repeated call changes nothing.

        `on_built` is called with the first day of each new table. Raises `CardwatchError` if the archive does not hold
        the transactions that the tables were made of; then nothing is changed.
        """
        if self.is_interrupted:
            self._replace(self.former_tables())
        if former := self.former_tables():
            self._build(former, on_built)
            self._replace(former)
        if outdated := self.outdated_days():
            with closing(ArchiveWriter(self._archive_folder, self._index_url)) as writer:
                writer.replace_table_ids(outdated)

    def _build(self, former: Sequence[TableOfFormerVersion], on_built: Callable[[date], None]) -> None:
        unfinished = self._folder / UNFINISHED_FOLDER
        rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir()
            store = ReferenceTableStore(unfinished)
            for table in self._rebuilt(former):
                store.put(table)
                on_built(table.valid_from.date())
            unfinished.rename(self._folder / FINISHED_FOLDER)
        finally:
            rmtree(unfinished, ignore_errors=True)

    def _replace(self, former: Sequence[TableOfFormerVersion]) -> None:
        """Move the new tables to their place, and put the former ones aside whose days have a new one."""
        finished, kept = self._folder / FINISHED_FOLDER, self._folder / FORMER_FOLDER
        for path in sorted(finished.glob("*.table")):
            path.replace(self._folder / path.name)
        current = self._days_without(former)
        for table in former:
            if table.valid_from in current:
                kept.mkdir(exist_ok=True)
                table.path.replace(kept / table.path.name)
        rmtree(finished, ignore_errors=True)

    def _rebuilt(self, former: Sequence[TableOfFormerVersion]) -> Iterator[ReferenceTable]:
        """Yield the new tables by day. A day that has a table of this version already keeps it."""
        current = self._days_without(former)
        needed = [table for table in former if table.valid_from not in current]
        if not needed:
            return
        archived = self._archive.days()
        if not archived or archived[0] >= needed[0].valid_from:
            raise CardwatchError(
                f"the archive in {self._archive_folder} has no transactions before {needed[0].valid_from}, of which "
                f"{needed[0].path} was made: restore the archive's files, and run `cardwatch upgrade` again"
            )
        days = deque(day for day in archived if day >= needed[0].valid_from - timedelta(days=2 * WINDOW_DAYS))
        builder, labels = ReferenceBuilder(), _Labels(self._archive.all_labels())
        for table in needed:
            while days and days[0] < table.valid_from:
                day = days.popleft()
                transactions = self._archive.transactions(day, day).select(list(COLUMNS_NEEDED))
                add_rows(builder, transactions.to_pylist(), ())
            add_rows(builder, (), labels.take(table.label_ends, table.valid_from))
            for partition, end in table.label_ends.items():
                builder.set_label_position(partition, end)
            yield builder.build(table.valid_from)

    def _days_without(self, former: Sequence[TableOfFormerVersion]) -> set[date]:
        """Return the days that have another table than these."""
        replaced = {table.path for table in former}
        names = [parse_name(path) for path in self._tables.paths() if path not in replaced]
        return {name.valid_from for name in names if name is not None}


class _Labels:
    """Archived labels in the order of the label log, handed out once each."""

    def __init__(self, labels: pa.Table) -> None:
        self._labels = labels
        self._partitions: NDArray[np.int64] = labels["partition"].to_numpy().astype(np.int64)
        self._offsets: NDArray[np.int64] = labels["log_offset"].to_numpy().astype(np.int64)
        self._observed_days: NDArray[np.datetime64] = labels["observed_at"].to_numpy().astype("datetime64[D]")
        self._taken = np.zeros(labels.num_rows, np.bool_)

    def take(self, ends: Mapping[int, int], valid_from: date) -> list[dict[str, object]]:
        """Return the labels below these offsets that were not taken before.

        Without any offset, those observed before `valid_from`: a later table may know its offsets.
        """
        below = np.zeros(len(self._taken), np.bool_) if ends else self._observed_days < np.datetime64(valid_from)
        for partition, end in ends.items():
            below |= (self._partitions == partition) & (self._offsets < end)
        new = below & ~self._taken
        self._taken |= new
        rows: list[dict[str, object]] = self._labels.filter(pa.array(new)).to_pylist()
        return rows


def _read_former(path: Path) -> TableOfFormerVersion | None:
    """Return the table in `path` if another version has written it. Raises `CorruptTable` for a damaged file."""
    name = parse_name(path)
    try:
        read_table(path)
    except FormerTable:
        assert name is not None  # noqa: S101 (the error means that the name has the hash of the content)
    else:
        return None
    try:
        positions = msgspec.msgpack.decode(path.read_bytes(), type=_AnyContent).label_positions
        label_ends = {int(partition): end for partition, end in positions.items()}
    except (msgspec.DecodeError, ValueError):
        label_ends = {}
    return TableOfFormerVersion(path, name.valid_from, label_ends)
