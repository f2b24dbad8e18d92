"""The table of a stress test: what the loop did in each kind of world, and how that compares with the goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from msgspec import Struct

from cardwatch.drift.policy import DriftPolicy
from models.wilson import wilson_interval
from stress.ablation import ablation
from stress.outcome import HARM_DAYS, HARM_MARGIN, REGAINED_AFTER_DAYS, Retraining, WorldOutcome
from stress.scenarios import HISTORY_DAYS, LIVE_DAYS, ONSET_DAY, SCENARIOS, Expectation

HARMFUL_COST_RATIO: Final = 1.5
"""A drift must be found if the true cost of the first champion rises to this multiple."""
MAXIMUM_DELAY_DAYS: Final = 3
MINIMUM_REGAINED: Final = 0.9
MAXIMUM_QUARANTINED: Final = 1 / 365
DAYS_PER_YEAR: Final = 365
_WITHOUT_LABELS: Final = [scenario.name for scenario in SCENARIOS if scenario.no_labels]
_AFTER_ONSET: Final = HISTORY_DAYS + LIVE_DAYS - ONSET_DAY
_BEFORE_ONSET: Final = ONSET_DAY - HISTORY_DAYS


class Goal(Struct, frozen=True, kw_only=True):
    """A measure with its goal: whether it is reached, None if nothing was measured."""

    measure: str
    goal: str
    seen: str
    reached: bool | None


class Proportion(Struct, frozen=True):
    """`count` of `total`, with the interval of 95 % (Wilson 1927)."""

    count: int
    total: int

    def __str__(self) -> str:
        """Return counts and interval."""
        if not self.total:
            return "no world"
        low, high = wilson_interval(self.count, self.total)
        return f"{self.count} of {self.total} ({low:.1%} to {high:.1%})"


def goals(outcomes: Sequence[WorldOutcome], maturity_days: int) -> list[Goal]:
    """Return what the worlds together say about the goals."""
    harmful = Proportion(sum(any(map(_is_harmful, one.retrainings)) for one in outcomes), len(outcomes))
    faults = _of(outcomes, Expectation.QUARANTINE)
    retrained = Proportion(sum(bool(one.retrainings) for one in faults), len(faults))
    wrong = [one for one in faults if one.scenario not in _WITHOUT_LABELS]
    found = Proportion(sum(one.found_on is not None and one.found_on <= ONSET_DAY + 1 for one in wrong), len(wrong))
    silent = [one for one in faults if one.scenario in _WITHOUT_LABELS]
    missing_labels = Proportion(sum(one.found_on is not None for one in silent), len(silent))
    quiet = _of(outcomes, Expectation.NOTHING)
    seeds = {one.seed: one.quarantined_before for one in outcomes}
    calm_days = len(seeds) * _BEFORE_ONSET + len(quiet) * _AFTER_ONSET
    excluded = Proportion(sum(seeds.values()) + sum(one.quarantined_after for one in quiet), calm_days)
    calm = [one for one in quiet if one.cost_ratio < HARMFUL_COST_RATIO]
    years = (len(calm) * _AFTER_ONSET + len(seeds) * _BEFORE_ONSET) / DAYS_PER_YEAR
    false_retrainings = sum(len(one.retrainings) for one in calm)
    drifts = [one for one in _of(outcomes, Expectation.RETRAIN) if one.cost_ratio >= HARMFUL_COST_RATIO]
    detected = Proportion(sum(one.detected_on is not None for one in drifts), len(drifts))
    delays = [one.detected_on - ONSET_DAY - maturity_days for one in drifts if one.detected_on is not None]
    regained = [one.regained.share for one in drifts if one.regained is not None and one.regained.share is not None]
    return [
        Goal(
            measure=f"worlds with a harmful promotion (true cost over {HARM_DAYS} days worse by more than "
            f"{HARM_MARGIN:.0%})",
            goal="none",
            seen=str(harmful),
            reached=harmful.count == 0 if outcomes else None,
        ),
        Goal(
            measure="worlds with a fault of the data in which a model was retrained on it",
            goal="none",
            seen=str(retrained),
            reached=retrained.count == 0 if faults else None,
        ),
        Goal(
            measure="faults of a watched column found within a day",
            goal="all",
            seen=str(found),
            reached=found.count == found.total if wrong else None,
        ),
        Goal(
            measure="sources of labels that stop: found, and after how many days",
            goal="all",
            seen=f"{missing_labels}: {_days_to_find(silent)}",
            reached=missing_labels.count == missing_labels.total if silent else None,
        ),
        Goal(
            measure="calm or harmless days quarantined",
            goal="at most 1 in 365",
            seen=str(excluded),
            reached=excluded.count <= MAXIMUM_QUARANTINED * excluded.total if excluded.total else None,
        ),
        Goal(
            measure=f"drift that raises the true cost by {HARMFUL_COST_RATIO - 1:.0%}: detected",
            goal="all",
            seen=str(detected),
            reached=detected.count == detected.total if drifts else None,
        ),
        Goal(
            measure="its delay after the first labels have matured, days",
            goal=f"median at most {MAXIMUM_DELAY_DAYS}",
            seen=spread(delays, "{:.0f}"),
            reached=median(delays) <= MAXIMUM_DELAY_DAYS if delays else None,
        ),
        Goal(
            measure="retrainings in 12 months without harm",
            goal="at most 1",
            seen=f"{false_retrainings / years:.2f} ({false_retrainings} in {years:.1f} years)" if years else "no world",
            reached=false_retrainings <= years if years else None,
        ),
        Goal(
            measure=f"saved {REGAINED_AFTER_DAYS} days after the onset, of what hindsight would save",
            goal=f"median at least {MINIMUM_REGAINED:.0%}",
            seen=spread(regained, "{:.0%}"),
            reached=median(regained) >= MINIMUM_REGAINED if regained else None,
        ),
    ]


def _days_to_find(faults: Sequence[WorldOutcome]) -> str:
    return spread([one.found_on - ONSET_DAY for one in faults if one.found_on is not None], "{:.0f}")


def report(outcomes: Sequence[WorldOutcome], policy: DriftPolicy) -> str:
    """Return all tables as Markdown."""
    marks = {True: "reached", False: "missed", None: ""}
    lines = _table(
        ("measure", "goal", "seen", ""),
        [(goal.measure, goal.goal, goal.seen, marks[goal.reached]) for goal in goals(outcomes, policy.maturity_days)],
    )
    rows = [
        _row(scenario.title, scenario.expectation, of_scenario)
        for scenario in SCENARIOS
        if (of_scenario := [one for one in outcomes if one.scenario == scenario.name])
    ]
    head = ("world", "should", "worlds", "cost", "found", "detected", "retrained", "promoted", "harmful", "saved", "s")
    return "\n".join([*lines, "", *_table(head, rows), "", *_ablation(outcomes, policy), ""])


def _ablation(outcomes: Sequence[WorldOutcome], policy: DriftPolicy) -> list[str]:
    """Return the table of what each signal contributes, over drifts that must be found and over worlds without harm."""
    drifts = [one for one in _of(outcomes, Expectation.RETRAIN) if one.cost_ratio >= HARMFUL_COST_RATIO]
    quiet = [one for one in _of(outcomes, Expectation.NOTHING) if one.cost_ratio < HARMFUL_COST_RATIO]
    harmless = ablation(quiet, policy)
    rows = []
    for name, assessed in ablation(drifts, policy).items():
        decayed, retrain = (
            [getattr(one, field) - ONSET_DAY for one in assessed if getattr(one, field) is not None]
            for field in ("decayed_on", "retrain_on")
        )
        false = sum(one.retrain_on is not None for one in harmless[name])
        rows.append(
            (
                name,
                f"{len(decayed)} of {len(drifts)}: {spread(decayed, '{:.0f}')}",
                f"{len(retrain)} of {len(drifts)}: {spread(retrain, '{:.0f}')}",
                f"{false} of {len(quiet)}",
            )
        )
    head = ("signals", "decay detected, days after the onset", "retraining asked for", "worlds without harm retrained")
    return _table(head, rows)


def spread(values: Sequence[float], form: str) -> str:
    """Return median, least and largest value as text."""
    if not values:
        return "none"
    return f"{form.format(median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def _row(title: str, expectation: Expectation, worlds: Sequence[WorldOutcome]) -> tuple[str, ...]:
    def counted(has: Callable[[WorldOutcome], bool]) -> str:
        return str(sum(map(has, worlds)))

    def after_onset(days: Sequence[int | None]) -> str:
        found = [day - ONSET_DAY for day in days if day is not None]
        return f"{len(found)}: {spread(found, '{:.0f}')}" if found else "0"

    regained = [one.regained.share for one in worlds if one.regained is not None and one.regained.share is not None]
    return (
        title,
        expectation.value,
        str(len(worlds)),
        f"{median(one.cost_ratio for one in worlds):.2f}",
        after_onset([one.found_on for one in worlds]),
        after_onset([one.detected_on for one in worlds]),
        counted(lambda one: bool(one.retrainings)),
        counted(lambda one: any(retraining.promoted for retraining in one.retrainings)),
        counted(lambda one: any(map(_is_harmful, one.retrainings))),
        spread(regained, "{:.0%}") if regained else "",
        f"{median(one.cpu_seconds for one in worlds):.0f}",
    )


def _is_harmful(retraining: Retraining) -> bool:
    return retraining.is_harmful


def _of(outcomes: Sequence[WorldOutcome], expectation: Expectation) -> list[WorldOutcome]:
    names = {scenario.name for scenario in SCENARIOS if scenario.expectation is expectation}
    return [one for one in outcomes if one.scenario in names]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
