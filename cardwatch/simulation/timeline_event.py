"""What all events on the timeline of a simulated world share: when they act, and how strongly."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final

from msgspec import Meta, Struct

DayNumber = Annotated[int, Meta(ge=0, le=100_000)]
MAX_RATIO: Final = 100.0
"""The largest ratio of one event, and of several together."""
Ratio = Annotated[float, Meta(ge=0, le=MAX_RATIO)]


class WorldChange(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """A change from day number `from_day` on, until the day before `until_day`, or for ever.

    With `ramp_days` it grows to its full strength over that many days. With `every_days` it recurs: it begins again
    after so many days. `is_harmful`: whether it makes a detector worse that was trained before.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    from_day: DayNumber
    until_day: DayNumber | None = None
    ramp_days: Annotated[int, Meta(ge=0, le=10_000)] = 0
    every_days: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    is_harmful: bool

    def __post_init__(self) -> None:
        """Raise `ValueError` if the days contradict each other; its message begins with the field, as all of these."""
        if self.until_day is not None and self.until_day <= self.from_day:
            raise ValueError(f"until_day {self.until_day} must be after from_day {self.from_day}")
        if self.every_days is not None:
            if self.until_day is None:
                raise ValueError("every_days needs until_day, the end of its first occurrence")
            if (lasts := self.until_day - self.from_day) > self.every_days:
                raise ValueError(f"every_days {self.every_days} must be at least the {lasts} days that it lasts")

    def strength(self, day: int) -> float:
        """Return the strength on day number `day`, 0 to 1."""
        passed = day - self.from_day
        if passed < 0:
            return 0.0
        if self.every_days is not None:
            passed %= self.every_days
        if self.until_day is not None and passed >= self.until_day - self.from_day:
            return 0.0
        return min((passed + 1) / (self.ramp_days + 1), 1.0)


def refuse(event: WorldChange, *fields: str) -> None:
    """Raise `ValueError` if the event has one of these optional fields."""
    for field in fields:
        if getattr(event, field):
            raise ValueError(f"{field} {getattr(event, field)} has no meaning for this kind of event: remove it")


def require_known(field: str, name: str, known: Collection[str]) -> None:
    """Raise `ValueError` if a field has a name that is not known."""
    if name not in known:
        raise ValueError(f"{field} {name!r} is none of {', '.join(known)}")
