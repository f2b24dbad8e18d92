"""What each signal of the drift policy contributes: the same days assessed again without it.

The first champion's days are assessed by `cardwatch.drift.assessment` as they were observed, and once more without data
drift, without each of the two measures of performance, and without both. Decisions do not depend on assessments before
the first promotion, so nothing has to be simulated again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Final

from msgspec import Struct, structs

from cardwatch.drift.assessment import DayObservation, DriftState, assess
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import JudgedMeasures, MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from cardwatch.progress import DECAYED
from stress.outcome import MonitoredDay, WorldOutcome
from stress.scenarios import ONSET_DAY

_FIRST_DAY: Final = date(2025, 1, 6)
"""Any day: the assessment depends on differences of days."""

Change = Callable[[DayObservation], DayObservation]


def _without_average_precision(observation: DayObservation) -> DayObservation:
    """Return the observation with a perfect one: the number of frauds decides whether missed frauds are assessed."""
    performance = observation.performance
    perfect = performance and structs.replace(performance, average_precision=1.0)
    return structs.replace(observation, performance=perfect)


VARIANTS: Final[dict[str, Change]] = {
    "all signals": lambda observation: observation,
    "without data drift": lambda observation: structs.replace(observation, drift_share=0.0),
    "without missed frauds": lambda observation: structs.replace(observation, missed=None),
    "without average precision": _without_average_precision,
    "without labels": lambda observation: structs.replace(observation, performance=None, missed=None),
}


class Assessed(Struct, frozen=True, kw_only=True):
    """The first days, from the onset on, on which the champion is decayed, and on which a retraining is asked for.

    They are None if there is none. `early` counts the days before the onset on which it is decayed.
    """

    decayed_on: int | None
    retrain_on: int | None
    early: int


def assess_again(outcome: WorldOutcome, policy: DriftPolicy, change: Change) -> Assessed:
    """Assess the days of a world again, after `change`."""
    state, decayed, retrain = DriftState(), list[int](), list[int]()
    for monitored in outcome.monitored:
        state, assessment = assess(state, change(_observation(monitored, outcome.judged)), policy)
        if assessment.state == DECAYED:
            decayed.append(monitored.day)
        if assessment.retrain:
            retrain.append(monitored.day)
    return Assessed(
        decayed_on=next((day for day in decayed if day >= ONSET_DAY), None),
        retrain_on=next((day for day in retrain if day >= ONSET_DAY), None),
        early=sum(day < ONSET_DAY for day in decayed),
    )


def ablation(outcomes: Sequence[WorldOutcome], policy: DriftPolicy) -> dict[str, list[Assessed]]:
    """Return for each variant what it says about each world."""
    return {name: [assess_again(outcome, policy, change) for outcome in outcomes] for name, change in VARIANTS.items()}


def _observation(monitored: MonitoredDay, judged: JudgedMeasures) -> DayObservation:
    measured = monitored.average_precision
    return DayObservation(
        day=_FIRST_DAY + timedelta(days=monitored.day),
        champion_version="1",
        drifted_features=[],
        drift_share=monitored.drift_share,
        not_compared={},
        null_share_changes={},
        performance=None
        if measured is None
        else MeasuredPerformance(average_precision=measured, frauds=monitored.matured_frauds),
        judged_performance=judged.performance,
        missed=MissedFrauds(frauds=monitored.missed_frauds, decisions=monitored.matured_decisions)
        if monitored.matured_decisions
        else None,
        judged_missed=judged.missed,
    )
