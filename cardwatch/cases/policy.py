"""The policy of the case queue: how many cases are reviewed a day, and how soon."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from cardwatch.events import Action

_Hours = Annotated[float, Meta(gt=0, le=8_760)]


class CasePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[cases]` of the policy file. Times are event time."""

    capacity_per_day: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """Number of cases of an event day that investigators can review; None for no limit."""
    challenge_hours: _Hours = 24.0
    """Hours from a challenged transaction until its case should be decided."""
    decline_hours: _Hours = 4.0
    """The same for a declined transaction, whose cardholder may be waiting."""
    queue_days: Annotated[int, Meta(ge=1, le=366)] = 30
    """Number of newest event days whose cases are in the queue. Older ones are found by their day."""

    def due_at(self, action: Action, opened_at: datetime) -> datetime:
        """Return the time until which a case with this action should be decided.

        >>> CasePolicy(decline_hours=2.0).due_at(Action.DECLINE, datetime(2025, 1, 6, 23))
        datetime.datetime(2025, 1, 7, 1, 0)
        """
        return opened_at + timedelta(hours=self.challenge_hours if action is Action.CHALLENGE else self.decline_hours)
