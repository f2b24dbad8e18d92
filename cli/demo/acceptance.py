"""Acceptance conditions of a demo: whether the loop closed, each condition as a sentence with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from msgspec import Struct

from cardwatch.wording import plural

MIN_PRECISION_BEFORE: Final = 0.5
MAX_PRECISION_BEFORE: Final = 0.85
MIN_COST: Final = 0.2
MIN_REGAINED: Final = 0.5


class AcceptanceCheck(Struct, frozen=True):
    """A condition: whether it holds, and a sentence with the required and the observed value."""

    passed: bool
    sentence: str


def checks(
    average_precision: Mapping[str, float | None],
    *,
    changed: bool,
    alarms_before: Sequence[date],
    detected: date | None,
    retrained: int,
    promoted: date | None,
    undesired: Mapping[str, int],
) -> list[AcceptanceCheck]:
    """Return all conditions for a closed loop, or, for an unchanged population, for the absence of retraining.

    `average_precision` is that of the phases `before`, `after` and `swapped`, as far as they exist. `alarms_before` are
    the days on which drift was detected before the change, or on any day where nothing changed. `undesired` counts
    decisions by what is wrong with them; each count has to be 0.
    """
    before, after, swapped = (average_precision.get(phase) for phase in ("before", "after", "swapped"))
    when = "before the change" if changed else "without a change"
    if changed:
        of_the_loop = [
            _change_costs(before, after),
            _happened(detected, "drift was found", "no drift was found"),
            _happened(promoted, "a challenger was promoted", "no challenger was promoted"),
            _recovered(before, after, swapped),
        ]
    else:
        of_the_loop = [AcceptanceCheck(retrained == 0, f"{plural(retrained, 'retraining')} in an unchanged population")]
    return [
        _realistic_precision(before, when),
        _no_false_alarm(alarms_before, when),
        *of_the_loop,
        *(AcceptanceCheck(number == 0, f"{plural(number, 'decision')} {what}") for what, number in undesired.items()),
    ]


def _realistic_precision(before: float | None, when: str) -> AcceptanceCheck:
    wanted = f"between {MIN_PRECISION_BEFORE} and {MAX_PRECISION_BEFORE} is required"
    if before is None:
        return AcceptanceCheck(False, f"no average precision {when}; {wanted}")
    passed = MIN_PRECISION_BEFORE <= before <= MAX_PRECISION_BEFORE
    return AcceptanceCheck(passed, f"average precision {before:.3f} {when}; {wanted}")


def _no_false_alarm(days: Sequence[date], when: str) -> AcceptanceCheck:
    if not days:
        return AcceptanceCheck(True, f"no alarm {when}")
    return AcceptanceCheck(False, f"false alarm {when} on " + ", ".join(day.isoformat() for day in days))


def _change_costs(before: float | None, after: float | None) -> AcceptanceCheck:
    if before is None or after is None:
        return AcceptanceCheck(False, "too little fraud to see what the change costs")
    cost = 1 - after / before if before else 0.0
    return AcceptanceCheck(
        cost >= MIN_COST,
        f"the change costs {cost:.0%} of the average precision ({before:.3f} to {after:.3f}); "
        f"at least {MIN_COST:.0%} is wanted",
    )


def _happened(day: date | None, done: str, not_done: str) -> AcceptanceCheck:
    if day is None:
        return AcceptanceCheck(False, f"{not_done} after the change")
    return AcceptanceCheck(True, f"{done} on {day.isoformat()}")


def _recovered(before: float | None, after: float | None, swapped: float | None) -> AcceptanceCheck:
    if before is None or after is None or swapped is None:
        return AcceptanceCheck(False, "no day after the swap to see a recovery")
    loss = before - after
    regained = (swapped - after) / loss if loss > 0 else 0.0
    return AcceptanceCheck(
        regained >= MIN_REGAINED,
        f"the swap regains {regained:.0%} of what the change cost ({after:.3f} to {swapped:.3f}); "
        f"at least {MIN_REGAINED:.0%} is wanted",
    )
