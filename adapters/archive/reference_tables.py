"""Reference tables as immutable files `DAY-ID.table` in one folder."""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_left
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import msgspec

from adapters.runtime.files import write_atomically
from cardwatch.errors import CardwatchError, CorruptTable, FormerTable
from cardwatch.events import EPOCH
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable

FORMER_FOLDER: Final = "former"
"""Folder below that of the tables, with the tables that `cardwatch upgrade` has replaced. Old decisions name them."""
_SUFFIX: Final = ".table"
_MAX_CACHED: Final = 2 * WINDOW_DAYS
_TIME_STAMP_RESOLUTION_SECONDS: Final = 2.0
"""Coarsest resolution of time stamps in common file systems."""


class ReferenceTableStore:
    """The tables in `folder`. It is thread-safe, and another process may write at the same time.

    Recent tables are cached, and the folder is listed only after it has changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        self._load = lru_cache(_MAX_CACHED)(lambda name: read_table(folder / name))
        self._of_day: dict[date, ReferenceTable] = {}
        self._listing = _Listing(folder)
        self._lock = Lock()

    def put(self, table: ReferenceTable) -> None:
        """Store a table under its day and id. A repeated call changes nothing."""
        write_atomically(self.folder / _name(table), table.to_bytes())

    def newest(self, at: date) -> ReferenceTable:
        """Return the newest table with `valid_from` <= `at`, or the empty table. Raises `CorruptTable`.

        It is cheap enough for every batch and every request, so that a new table is used immediately.
        """
        cached = self._of_day.get(at)
        if cached is not None:
            return cached
        with self._lock:
            name = self._listing.newest(at)
            if name is None:
                return ReferenceTable.empty()
            table = self._load(name)
            if name.startswith(at.isoformat()):
                self._of_day[at] = table
                if len(self._of_day) > _MAX_CACHED:
                    self._of_day.pop(next(iter(self._of_day)))  # the oldest entry
            return table

    def of_day(self, day: date) -> ReferenceTable | None:
        """Return the table that is valid from exactly this day, None if there is none. Raises `CorruptTable`."""
        paths = sorted(self.folder.glob(f"{day.isoformat()}-*{_SUFFIX}"))
        return read_table(paths[-1]) if paths else None

    def get(self, table_id: str) -> ReferenceTable:
        """Return the table with this id. Raises `CardwatchError` if it is missing, `CorruptTable` if it is damaged.

        A table that `cardwatch upgrade` has replaced raises `FormerTable`, which names its file.
        """
        if table_id == ReferenceTable.empty().table_id:
            return ReferenceTable.empty()
        for folder in (self.folder, self.folder / FORMER_FOLDER):
            for path in folder.glob(f"*-{table_id}{_SUFFIX}"):
                return read_table(path)
        raise CardwatchError(f"reference table {table_id} is not in {self.folder}")

    def all(self) -> list[ReferenceTable]:
        """Return all tables, by day. Raises `CorruptTable`."""
        return [read_table(path) for path in self.paths()]

    def paths(self) -> list[Path]:
        """Return the files of all tables, by day."""
        return sorted(self.folder.glob(f"*{_SUFFIX}"))

    def former_days(self) -> dict[str, date]:
        """Return the ids of the tables that `cardwatch upgrade` has replaced, each with the day it was valid from."""
        paths = (self.folder / FORMER_FOLDER).glob(f"*{_SUFFIX}")
        return {name.table_id: name.valid_from for name in map(parse_name, paths) if name is not None}


class _Listing:
    """The names in a folder, listed again when the folder has changed.

    The resolution of a folder's time stamp may hide a second change. Therefore one more listing is made after the same
    time stamp was seen for longer than the resolution; from then on the listing is final.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: list[str] = []
        self._changed_ns = -1
        self._first_seen = 0.0
        self._is_settled = False

    def newest(self, at: date) -> str | None:
        """Return the last name whose day is not after `at`, None if there is none."""
        self._refresh()
        position = bisect_left(self._names, (at + timedelta(days=1)).isoformat() if at < date.max else "~")
        return self._names[position - 1] if position else None

    def _refresh(self) -> None:
        try:
            changed_ns = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        now = time.monotonic()
        if changed_ns != self._changed_ns:
            self._changed_ns, self._first_seen, self._is_settled = changed_ns, now, False
        elif self._is_settled or now - self._first_seen < _TIME_STAMP_RESOLUTION_SECONDS:
            return
        else:
            self._is_settled = True
        self._names = sorted(path.name for path in self._folder.glob(f"*{_SUFFIX}"))


class TableName(NamedTuple):
    """The parts of a table's file name: the first day (UTC) that uses the table, and the table's id."""

    valid_from: date
    table_id: str


def parse_name(path: Path) -> TableName | None:
    """Return what the name of a table's file says, None for another name."""
    day, _, table_id = path.name.removesuffix(_SUFFIX).rpartition("-")
    try:
        return TableName(date.fromisoformat(day), table_id)
    except ValueError:
        return None


def hash_of(content: bytes) -> str:
    """Return the id of the table with these bytes, in the stored form of any version."""
    return hashlib.sha256(content).hexdigest()[:32]


def _name(table: ReferenceTable) -> str:
    day = EPOCH.date() + timedelta(days=table.valid_from_day)
    return f"{day.isoformat()}-{table.table_id}{_SUFFIX}"


def read_table(path: Path) -> ReferenceTable:
    """Return the table in `path`. Raises `FormerTable` for one of another version, else `CorruptTable`."""
    try:
        content = path.read_bytes()
        table = ReferenceTable.from_bytes(content)
    except (msgspec.DecodeError, ValueError, OSError) as error:
        name = parse_name(path)
        if not isinstance(error, OSError) and name is not None and name.table_id == hash_of(content):
            raise FormerTable(
                f"{path} is a reference table of another version of Cardwatch: run `cardwatch upgrade`, which builds "
                "it again from the archive"
            ) from error
        raise CorruptTable(f"{path} cannot be read as a reference table: {error}; {_ADVICE}") from error
    if _name(table) != path.name:
        raise CorruptTable(f"{path} contains {_name(table)} instead of the table in its name; {_ADVICE}")
    return table


_ADVICE: Final = "restore it from a copy, or remove it to use the table of the day before"
