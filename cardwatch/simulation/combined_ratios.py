"""Limits of what the events of a timeline multiply together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf, prod
from typing import Final, NamedTuple

from cardwatch.events import Channel
from cardwatch.simulation.faults import MAX_UNIT_RATIO, DataFault, UnitChange
from cardwatch.simulation.timeline import FraudPrevalence, SpendingShift, TimelineEvent
from cardwatch.simulation.timeline_event import MAX_RATIO


class Excess(NamedTuple):
    """The position of the event with which a limit is exceeded, the last to begin, and what is wrong."""

    position: int
    reason: str


class _Factor(NamedTuple):
    """The ratio of an event, by which it multiplies a quantity from `from_day` on. Factors sort by their onsets."""

    from_day: int
    position: int
    name: str
    end_day: float
    ratio: float


_LIMITS: Final = {
    "transaction_ratio": MAX_RATIO,
    "amount_ratio": MAX_RATIO,
    "ratio of fraud_prevalence": MAX_RATIO,
    "ratio of unit_change": MAX_UNIT_RATIO,
}
"""Largest product of the ratios of all events of a day, by quantity: that of a single event."""


def find_excess(events: Sequence[TimelineEvent | DataFault]) -> Excess | None:
    """Return the first event that multiplies by too much together with others, None if there is none.

    Without a limit, amounts would exceed what a record can have, and the number of transactions would be unlimited.
    Ratios below 1 do not compensate for others, because a ramp can delay them. A recurring event counts from its onset
    on, as if it had no pauses.
    """
    factors: dict[tuple[str, str], list[_Factor]] = defaultdict(list)
    for position, event in enumerate(events):
        end_day = inf if event.until_day is None or event.every_days is not None else event.until_day
        for field, channel, ratio in _ratios(event):
            if ratio > 1.0:
                factors[field, channel].append(_Factor(event.from_day, position, event.name, end_day, ratio))
    found = [excess for (field, _), growing in factors.items() if (excess := _excess(field, growing)) is not None]
    return min(found, default=None)


def _ratios(event: TimelineEvent | DataFault) -> Iterator[tuple[str, str, float]]:
    """Yield field, channel (empty if it has none) and ratio of all that an event multiplies and that has a limit."""
    match event:
        case SpendingShift():
            yield "transaction_ratio", "", event.transaction_ratio
            yield "amount_ratio", "", event.amount_ratio
        case FraudPrevalence():
            yield "ratio of fraud_prevalence", "", event.ratio
        case UnitChange():
            for channel in Channel if event.channel is None else [Channel(event.channel)]:
                yield "ratio of unit_change", channel.value, event.ratio


def _excess(field: str, factors: Sequence[_Factor]) -> Excess | None:
    for newest in sorted(factors):
        active = [each for each in factors if each <= newest and newest.from_day < each.end_day]
        if len(active) > 1 and prod(each.ratio for each in active) > _LIMITS[field]:
            named = " and ".join(f"{each.name!r} ({each.ratio:g})" for each in active)
            return Excess(
                newest.position,
                f"{field}: {named} are under way together from day {newest.from_day} on and multiply by more than "
                f"{_LIMITS[field]:,.0f}: lower one of them, or let one end before the other begins",
            )
    return None
