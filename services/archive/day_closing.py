"""Closing of a day, the same for the archive service and its daily job.

A crash between two steps repeats the closing. A table that is stored already is kept, whatever has been read since,
because a stream worker may have used it. So a day has one table, and late records change the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.progress import DayArchived
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS


def close_day(
    day: date,
    writer: ArchiveWriter,
    tables: ReferenceTableStore,
    builder: ReferenceBuilder,
    *,
    label_ends: Mapping[int, int],
    announce: Callable[[DayArchived], None],
) -> DayArchived:
    """Store the table that is valid from the next day, announce `day` and record it as closed; return the announcement.

    All rows of the day are written before. `label_ends`: per partition, the label offset that the table is based on.
    """
    valid_from = day + timedelta(days=1)
    table = tables.of_day(valid_from)
    if table is None:
        for partition, end in label_ends.items():
            builder.set_label_position(partition, end)
        table = builder.build(valid_from)
        tables.put(table)
    archived = DayArchived(
        day=day,
        transactions=writer.count(TRANSACTIONS, day),
        decisions=writer.count(DECISIONS, day),
        labels=writer.count(LABELS, day),
        table_id=table.table_id,
    )
    announce(archived)  # before the day is recorded as closed: a crash between the two repeats the announcement
    writer.close_day(day, table.table_id)
    return archived
