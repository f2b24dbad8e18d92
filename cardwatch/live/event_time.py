"""The time of the world that the log is about, which need not be the wall clock's: a simulated stack lives in 2025."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

NEWEST: Final = 31
"""Number of newest transactions whose median is the time. Up to 15 wrong clocks among them do not move it beyond the
others, as in the watermarks of the archive."""


def event_time(newest: Sequence[datetime]) -> datetime | None:
    """Return the median event time of the newest transactions, None without any.

    >>> event_time([datetime(2025, 1, day) for day in (3, 1, 2)])
    datetime.datetime(2025, 1, 2, 0, 0)
    """
    return sorted(newest)[len(newest) // 2] if newest else None
