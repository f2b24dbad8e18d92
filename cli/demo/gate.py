"""Did the loop close? The conditions of a demo, each as a sentence with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from msgspec import Struct

from cli.demo.wording import plural

MIN_PRECISION_BEFORE: Final = 0.5
MAX_PRECISION_BEFORE: Final = 0.85
MIN_COST: Final = 0.2
MIN_REGAINED: Final = 0.5


class Check(Struct, frozen=True, kw_only=True):
    """One condition: whether it holds, and what was asked and seen."""

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
    lost: int,
    duplicates: int,
) -> list[Check]:
    """Everything that must hold for the loop to count as closed; for a world without a change, that it stayed calm.

    `average_precision` is that of the phases `before`, `after` and `swapped`, as far as they exist. `alarms_before` are
    the days of drift found before the change, or at all where nothing changed.
    """
    before = average_precision.get("before")
    after = average_precision.get("after")
    swapped = average_precision.get("swapped")
    common = [_is_realistic(before, changed), _no_false_alarm(alarms_before, changed)]
    counted = [
        Check(passed=lost == 0, sentence=f"{plural(lost, 'decision')} lost"),
        Check(passed=duplicates == 0, sentence=f"{plural(duplicates, 'decision')} too many"),
    ]
    if not changed:
        calm = Check(
            passed=retrained == 0, sentence=f"{plural(retrained, 'retraining')} in a world that did not change"
        )
        return [*common, calm, *counted]
    return [
        *common,
        _costs(before, after),
        _happened(detected, "drift was found", "no drift was found"),
        _happened(promoted, "a challenger was promoted", "no challenger was promoted"),
        _recovered(before, after, swapped),
        *counted,
    ]


def _is_realistic(before: float | None, changed: bool) -> Check:
    when = "before the change" if changed else "without a change"
    wanted = f"between {MIN_PRECISION_BEFORE} and {MAX_PRECISION_BEFORE} is wanted"
    if before is None:
        return Check(passed=False, sentence=f"no average precision {when}; {wanted}")
    return Check(
        passed=MIN_PRECISION_BEFORE <= before <= MAX_PRECISION_BEFORE,
        sentence=f"average precision {before:.3f} {when}; {wanted}",
    )


def _no_false_alarm(days: Sequence[date], changed: bool) -> Check:
    when = "before the change" if changed else "without a change"
    if not days:
        return Check(passed=True, sentence=f"no alarm {when}")
    return Check(passed=False, sentence=f"false alarm {when} on " + ", ".join(day.isoformat() for day in days))


def _costs(before: float | None, after: float | None) -> Check:
    if before is None or after is None:
        return Check(passed=False, sentence="too little fraud to see what the change costs")
    cost = 1 - after / before if before else 0.0
    return Check(
        passed=cost >= MIN_COST,
        sentence=f"the change costs {cost:.0%} of the average precision ({before:.3f} to {after:.3f}); "
        f"at least {MIN_COST:.0%} is wanted",
    )


def _happened(day: date | None, done: str, not_done: str) -> Check:
    if day is None:
        return Check(passed=False, sentence=f"{not_done} after the change")
    return Check(passed=True, sentence=f"{done} on {day.isoformat()}")


def _recovered(before: float | None, after: float | None, swapped: float | None) -> Check:
    if before is None or after is None or swapped is None:
        return Check(passed=False, sentence="no mature day after the swap to see a recovery")
    loss = before - after
    regained = (swapped - after) / loss if loss > 0 else 0.0
    return Check(
        passed=regained >= MIN_REGAINED,
        sentence=f"the swap regains {regained:.0%} of what the change cost ({after:.3f} to {swapped:.3f}); "
        f"at least {MIN_REGAINED:.0%} is wanted",
    )
