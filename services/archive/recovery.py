"""What the archivist knows of event times, from the archive after a restart."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.archive.reader import Archive
from services.archive.watermarks import Watermarks


def resumed(archive: Archive, partitions: Iterable[int]) -> Watermarks:
    """Watermarks as far as the archive tells: its days, and the newest transactions of the days still open."""
    watermarks = Watermarks(partitions)
    days = archive.days()
    watermarks.held(days)
    if days:
        still_open = max(archive.closed_days(), default=days[0])
        newest = archive.transactions(still_open, days[-1]).select(["partition", "occurred_at"])
        for row in newest.to_pylist():
            watermarks.saw(row["partition"], row["occurred_at"])
    return watermarks
