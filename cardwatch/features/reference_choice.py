"""The choice of the reference table for a transaction, and of the fallback to rules if no table is usable.

A table is stale `WINDOW_DAYS` event days after it became valid: then its windows no longer overlap with those of the
present. If the table is stale or its file is damaged, the model does not score; the rules decide, and the decision
gives the reason. Card states do not depend on tables and are updated as usual.

A system without any table is not degraded: on its first days no merchant is known, and models are trained on such days
too. If the archive never closes a day, the monitoring of archived days reports it.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple, Protocol

from cardwatch.errors import CorruptTable
from cardwatch.events import EPOCH
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable

_EPOCH_ORDINAL: Final = EPOCH.toordinal()
_EMPTY_TABLE: Final = ReferenceTable.empty()


class Tables(Protocol):
    """A source of reference tables."""

    def newest(self, at: date) -> ReferenceTable:
        """Return the newest table with `valid_from` <= `at`; raises `CorruptTable` if its file is damaged."""


class TableChoice(NamedTuple):
    """The table to fold with. `degraded_reason` says why the rules must decide, None if the model can score."""

    table: ReferenceTable
    degraded_reason: str | None


def choose_table(tables: Tables, day: date) -> TableChoice:
    """Return the table for transactions of this event day (UTC), or the empty table and a reason if it is damaged.

    >>> class NoTables:
    ...     def newest(self, at: date) -> ReferenceTable:
    ...         return ReferenceTable.empty()
    >>> choose_table(NoTables(), date(2025, 1, 6)).degraded_reason is None
    True
    """
    try:
        table = tables.newest(day)
    except CorruptTable as error:
        return TableChoice(_EMPTY_TABLE, str(error))
    return TableChoice(table, why_stale(table, day))


def why_stale(table: ReferenceTable, day: date) -> str | None:
    """Return None if transactions of `day` can be scored with this table, else the reason in plain text."""
    if table.table_id == _EMPTY_TABLE.table_id:
        return None
    age_days = day.toordinal() - _EPOCH_ORDINAL - table.valid_from_day
    if age_days < WINDOW_DAYS:
        return None
    return f"the reference table of {table.valid_from.date()} is {age_days} days old"
