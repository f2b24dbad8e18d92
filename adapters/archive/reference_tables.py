"""Reference tables as immutable files `DAY-ID.table` in one folder."""

from __future__ import annotations

import time
from bisect import bisect_left
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from adapters.runtime.files import write_atomically
from cardwatch.errors import CardwatchError, CorruptTable
from cardwatch.events import EPOCH
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable

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
        self._load = lru_cache(_MAX_CACHED)(lambda name: _read(folder / name))
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
        return _read(paths[-1]) if paths else None

    def get(self, table_id: str) -> ReferenceTable:
        """Return the table with this id. Raises `CardwatchError` if it is missing, `CorruptTable` if it is damaged."""
        if table_id == ReferenceTable.empty().table_id:
            return ReferenceTable.empty()
        for path in self.folder.glob(f"*-{table_id}{_SUFFIX}"):
            return _read(path)
        raise CardwatchError(f"reference table {table_id} is not in {self.folder}")

    def all(self) -> list[ReferenceTable]:
        """Return all tables, by day. Raises `CorruptTable`."""
        return [_read(path) for path in sorted(self.folder.glob(f"*{_SUFFIX}"))]


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


def _name(table: ReferenceTable) -> str:
    day = EPOCH.date() + timedelta(days=table.valid_from_day)
    return f"{day.isoformat()}-{table.table_id}{_SUFFIX}"


def _read(path: Path) -> ReferenceTable:
    try:
        table = ReferenceTable.from_bytes(path.read_bytes())
    except (msgspec.DecodeError, ValueError, OSError) as error:
        raise CorruptTable(f"{path} cannot be read as a reference table: {error}; {_ADVICE}") from error
    if _name(table) != path.name:
        raise CorruptTable(f"{path} contains {_name(table)} instead of the table in its name; {_ADVICE}")
    return table


_ADVICE: Final = "restore it from a copy, or remove it to use the table of the day before"
