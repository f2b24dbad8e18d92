"""Reference tables as files: `DAY-ID.table` in one folder, written once and never changed."""

from __future__ import annotations

import time
from bisect import bisect_left
from datetime import date, timedelta
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

import msgspec

from adapters.runtime.files import write_atomically
from cardwatch.errors import CardwatchError, CorruptTable
from cardwatch.events import EPOCH
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable

_SUFFIX: Final = ".table"
_MAX_HELD: Final = 2 * WINDOW_DAYS
_COARSEST_TIME_STAMP_SECONDS: Final = 2.0

K = TypeVar("K", str, date)


class ReferenceTableStore:
    """The tables in `folder`, for any number of threads; another process may write meanwhile.

    Reading a recent one again costs no file read, and finding out that there is no newer one no listing of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, ReferenceTable] = {}
        self._of_day: dict[date, ReferenceTable] = {}
        self._listing = _Listing(folder)
        self._lock = Lock()

    def put(self, table: ReferenceTable) -> None:
        """Store a table under its day and id; the same one again changes nothing."""
        write_atomically(self._folder / _name(table), table.to_bytes())

    def newest(self, at: date) -> ReferenceTable:
        """The newest table with `valid_from` <= `at`, the empty one if there is none. Raises `CorruptTable`.

        Cheap enough to be asked for every batch and every request: a new table is seen at once.
        """
        held = self._of_day.get(at)
        if held is not None:
            return held
        with self._lock:
            name = self._listing.newest(at)
            if name is None:
                return ReferenceTable.empty()
            table = self._hold(name)
            if name.startswith(at.isoformat()):
                _put_bounded(self._of_day, at, table)
            return table

    def of_day(self, day: date) -> ReferenceTable | None:
        """The table that is valid from this very day, if it was stored before. Raises `CorruptTable`."""
        paths = sorted(self._folder.glob(f"{day.isoformat()}-*{_SUFFIX}"))
        return _read(paths[-1]) if paths else None

    def get(self, table_id: str) -> ReferenceTable:
        """The table that a decision recorded; raises `CardwatchError` if it is not here, `CorruptTable` if damaged."""
        if table_id == ReferenceTable.empty().table_id:
            return ReferenceTable.empty()
        for path in self._folder.glob(f"*-{table_id}{_SUFFIX}"):
            return _read(path)
        raise CardwatchError(f"reference table {table_id} is not in {self._folder}")

    def all(self) -> list[ReferenceTable]:
        """Every table, by day. Raises `CorruptTable`."""
        return [_read(path) for path in sorted(self._folder.glob(f"*{_SUFFIX}"))]

    def _hold(self, name: str) -> ReferenceTable:
        if name not in self._held:
            _put_bounded(self._held, name, _read(self._folder / name))
        return self._held[name]


class _Listing:
    """The names in a folder, listed again when the folder has changed.

    A folder's time stamp may be too coarse to tell two changes apart. So a listing is trusted only once the same time
    stamp has been seen for longer than that; until then one more is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: list[str] = []
        self._changed_ns = -1
        self._first_seen = 0.0
        self._is_settled = False

    def newest(self, at: date) -> str | None:
        """The last name whose day is not after `at`."""
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
        elif self._is_settled or now - self._first_seen < _COARSEST_TIME_STAMP_SECONDS:
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
        raise CorruptTable(f"{path} does not hold what its name says but {_name(table)}; {_ADVICE}")
    return table


def _put_bounded(held: dict[K, ReferenceTable], key: K, table: ReferenceTable) -> None:
    """Hold one more; of too many, the one that came first goes."""
    held[key] = table
    if len(held) > _MAX_HELD:
        held.pop(next(iter(held)))


_ADVICE: Final = "restore it from a copy, or remove it: then the table of the day before is used"
