"""State of the archiver, rebuilt from the archive after a restart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from adapters.archive.reader import Archive
from adapters.archive.reference_feed import COLUMNS_NEEDED, add_rows
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import WINDOW_DAYS
from services.archive.watermarks import Watermarks


class ArchiverState(NamedTuple):
    """State of an archiver: the rows of the newest window, and the event times of partitions and sources."""

    builder: ReferenceBuilder
    watermarks: Watermarks


def restore_state(archive: Archive, partitions: Iterable[int]) -> ArchiverState:
    """Return the state of an archiver that continues with an archive."""
    return ArchiverState(restore_builder(archive), restore_watermarks(archive, partitions))


def restore_watermarks(archive: Archive, partitions: Iterable[int]) -> Watermarks:
    """Return watermarks with the archived days, and the newest transactions of the days that are still open."""
    watermarks = Watermarks(partitions)
    days = archive.days()
    watermarks.add_days(days)
    if days:
        still_open = max(archive.closed_days(), default=days[0])
        newest = archive.transactions(still_open, days[-1]).select(["partition", "occurred_at"])
        for row in newest.to_pylist():
            watermarks.add_transaction(row["partition"], row["occurred_at"])
    return watermarks


def restore_builder(archive: Archive) -> ReferenceBuilder:
    """Return a builder that holds the archived rows of the newest window."""
    builder = ReferenceBuilder()
    if days := archive.days():
        transactions = archive.transactions(first_day_needed(archive), days[-1])
        add_rows(builder, transactions.select(list(COLUMNS_NEEDED)).to_pylist(), archive.all_labels().to_pylist())
    return builder


def first_day_needed(archive: Archive) -> date:
    """Return the first day whose transactions `restore_builder` reads.

    It follows from the closed days: a single transaction from the far future is the archive's newest day.
    """
    days, closed = archive.days(), archive.closed_days()
    if not days:
        return date.min
    return min(max(closed, default=days[0]), days[-1]) - timedelta(days=2 * WINDOW_DAYS)
