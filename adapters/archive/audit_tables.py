"""The reference tables that recorded decisions name, as an audit needs them: with the reason why one cannot be used."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import date

from adapters.archive.reference_tables import ReferenceTableStore, parse_name
from cardwatch.audit.recorded_columns import AuditedTables, StoredTable
from cardwatch.errors import CardwatchError, CorruptTable, FormerTable
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.replay import FORMER_EMPTY_TABLES


class AuditTables:
    """The tables in a store. `closed_days` are those of the archive, with the ids of their tables.

    `stored` are those that were loaded. A table is read once.
    """

    def __init__(self, store: ReferenceTableStore, closed_days: Mapping[date, str]) -> None:
        self._store, self._recorded = store, frozenset(closed_days.values())
        self._by_id: dict[str, StoredTable] = {}
        names = sorted(name for name in map(parse_name, store.paths()) if name is not None)
        self._days, self._ids = [name.valid_from for name in names], [name.table_id for name in names]
        self.stored = AuditedTables(self._by_id, self._newest_id)

    def load(self, table_ids: Iterable[str]) -> None:
        """Read the tables with these ids."""
        for table_id in table_ids:
            if table_id not in self._by_id:
                self._by_id[table_id] = self._read(table_id)

    def _newest_id(self, day: date) -> str:
        place = bisect_right(self._days, day)
        return self._ids[place - 1] if place else ReferenceTable.empty().table_id

    def _read(self, table_id: str) -> StoredTable:
        if table_id in FORMER_EMPTY_TABLES:
            return StoredTable(ReferenceTable.empty())
        try:
            return StoredTable(self._store.get(table_id))
        except FormerTable as error:
            day = self._store.former_days().get(table_id)
            return (
                StoredTable(None, str(error)) if day is None else StoredTable(self._store.newest(day), is_rebuilt=True)
            )
        except CorruptTable as error:
            return StoredTable(None, str(error), is_wrong=True)
        except CardwatchError as error:
            if table_id in self._recorded:
                return StoredTable(None, f"{error}, although a closed day names it: restore it from a copy")
            return StoredTable(None, f"{error}, and no closed day names such a table", is_wrong=True)
