"""Which reference table a transaction sees, and when the rules have to decide because there is none to rely on.

A table is stale when its windows have nothing in common with the present any more: `WINDOW_DAYS` event days after it
became valid. Then, or when its file is damaged, there is no score: the rules decide, and the decision says why. Card
states know no tables and are folded as ever.

A system that has never had a table is not stale: that nothing is known of any merchant is the truth on its first days,
and models are trained on such days too. So an archive that has never closed a day degrades nothing; that no day is
archived is what tells of it.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple, Protocol

from cardwatch.errors import CorruptTable
from cardwatch.events import EPOCH
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable

_EPOCH_ORDINAL: Final = EPOCH.toordinal()
_NOTHING_KNOWN: Final = ReferenceTable.empty()


class Tables(Protocol):
    """Where the reference table of a transaction comes from."""

    def newest(self, at: date) -> ReferenceTable:
        """The newest table with `valid_from` <= `at`, or `CorruptTable`."""
        ...


class TableChoice(NamedTuple):
    """The table to fold with, and None or the reason why the rules decide."""

    table: ReferenceTable
    degraded_reason: str | None


def choose_table(tables: Tables, day: date) -> TableChoice:
    """The table for transactions of this event day (UTC). In place of a damaged one, the empty one and a reason."""
    try:
        table = tables.newest(day)
    except CorruptTable as error:
        return TableChoice(_NOTHING_KNOWN, str(error))
    return TableChoice(table, why_stale(table, day))


def why_stale(table: ReferenceTable, day: date) -> str | None:
    """None if transactions of `day` can be scored with this table, else what is wrong with it, for a human."""
    if table.table_id == _NOTHING_KNOWN.table_id:
        return None
    age_days = day.toordinal() - _EPOCH_ORDINAL - table.valid_from_day
    if age_days < WINDOW_DAYS:
        return None
    return f"the reference table of {table.valid_from.date()} is {age_days} days old"
