"""Label maturity: how many days after an event day its labels are complete."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

DEFAULT_MATURITY_DAYS: Final = 5
"""Days after an event day until its labels count as complete. The policy file sets another number (`[drift]`)."""


def newest_mature_day(day: date, maturity_days: int = DEFAULT_MATURITY_DAYS) -> date:
    """Return the newest event day whose labels are complete at the end of `day`."""
    return day - timedelta(days=maturity_days)


def end_of_day(day: date) -> datetime:
    """Return the first moment after `day` (UTC). Labels observed before it are known at the end of `day`."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)
