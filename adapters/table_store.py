"""Reference tables as files: `DAY-ID.table` in one folder, written once and never changed."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec

from adapters.files import write_atomically
from cardwatch.errors import CardwatchError
from cardwatch.features.reference import ReferenceTable

_SUFFIX: Final = ".table"
_EPOCH: Final = date(1970, 1, 1)


class TableStore:
    """The tables in `folder`. Reading one twice costs one file read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, ReferenceTable] = {}
        self._of_day: dict[int, ReferenceTable] = {}

    def put(self, table: ReferenceTable) -> None:
        """Store a table under its day and id; the same one again changes nothing."""
        day = _EPOCH + timedelta(days=table.valid_from_day)
        write_atomically(self._folder / f"{day.isoformat()}-{table.table_id}{_SUFFIX}", table.to_bytes())

    def newest(self, at: date) -> ReferenceTable:
        """The newest table with `valid_from` <= `at`, the empty one if there is none.

        The folder is listed only when the table of that very day is not held yet.
        """
        day = (at - _EPOCH).days
        if day in self._of_day:
            return self._of_day[day]
        candidates = [path for path in self._files() if path.name[:10] <= at.isoformat()]
        found = self._read(candidates[-1]) if candidates else ReferenceTable.empty()
        if found.valid_from_day == day:
            self._of_day[day] = found
        return found

    def get(self, table_id: str) -> ReferenceTable:
        """The table that a decision recorded; raises `CardwatchError` if it is not here."""
        if table_id == ReferenceTable.empty().table_id:
            return ReferenceTable.empty()
        for path in self._folder.glob(f"*-{table_id}{_SUFFIX}"):
            return self._read(path)
        raise CardwatchError(f"reference table {table_id} is not in {self._folder}")

    def all(self) -> list[ReferenceTable]:
        """Every table, by day."""
        return [self._read(path) for path in self._files()]

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{_SUFFIX}"))

    def _read(self, path: Path) -> ReferenceTable:
        if path.name not in self._held:
            try:
                self._held[path.name] = ReferenceTable.from_bytes(path.read_bytes())
            except msgspec.DecodeError as error:
                raise CardwatchError(f"{path} is not a reference table: {error}") from error
        return self._held[path.name]
