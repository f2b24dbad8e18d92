"""What the loop did in one world, with the truth beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import Struct

from adapters.runtime.policy_file import Policies
from cardwatch.drift.performance import JudgedMeasures
from cardwatch.progress import DayMonitored, DriftDetected, RetrainingEnded, RetrainingStarted
from services.monitor.champions import judged_measures_of
from stress.harm import HeldRows
from stress.hindsight import train_in_hindsight
from stress.loop import FIRST_VERSION, MonitoredLoop
from stress.scenarios import HISTORY_DAYS, ONSET_DAY, Expectation, StressScenario

HARM_DAYS: Final = 14
"""Days after a promotion over which the true cost of both models is compared."""
HARM_MARGIN: Final = 0.05
"""A promotion is harmful if the new model costs more than the old one by more than this share."""
REGAINED_AFTER_DAYS: Final = 30
"""Days after the onset from which on it is measured what the loop has regained."""


class Retraining(Struct, frozen=True, kw_only=True):
    """A retraining at the end of day number `day`.

    The costs, in minor units a day, are the true ones of champion and challenger on the `HARM_DAYS` days after it, in a
    world of the same kind. They are None without a challenger.
    """

    day: int
    promoted: bool
    reasons: list[str]
    champion_cost_minor: float | None
    challenger_cost_minor: float | None

    @property
    def is_harmful(self) -> bool:
        """Whether a model was promoted that costs more than the one before it, by more than the margin."""
        if not self.promoted or self.champion_cost_minor is None or self.challenger_cost_minor is None:
            return False
        return self.challenger_cost_minor > (1.0 + HARM_MARGIN) * self.champion_cost_minor


class Regained(Struct, frozen=True, kw_only=True):
    """True costs, in minor units a day, from `REGAINED_AFTER_DAYS` after the onset on.

    `first` is that of the first champion, `served` of the model that decides by then, `hindsight` of the model that
    could have been trained if every outcome were known at once.
    """

    first: float
    served: float
    hindsight: float

    @property
    def share(self) -> float | None:
        """How much of what hindsight saves is saved, 1 for all of it; None if hindsight saves nothing."""
        possible = self.first - self.hindsight
        return (self.first - self.served) / possible if possible > 0 else None


class MonitoredDay(Struct, frozen=True, kw_only=True):
    """What the monitor saw of the first champion on day number `day`; see `cardwatch.progress.DayMonitored`.

    `is_blocked`: whether a finding of the data contract blocked retraining.
    """

    day: int
    average_precision: float | None
    matured_frauds: int
    missed_frauds: int
    matured_decisions: int
    drift_share: float
    is_blocked: bool
    estimated_average_precision: float | None
    estimate_of_matured: float | None


class WorldOutcome(Struct, frozen=True, kw_only=True):
    """What happened in a world; days are day numbers, see `stress.scenarios`.

    `found_on` and `detected_on`: the first day, from the onset on, with a finding of the data contract that blocks, and
    on which the champion is decayed. `alarms_before`: days before the onset on which it was decayed.
    `quarantined_days`: days whose data were excluded, before and from the onset on. `cost_ratio`: the true cost of the
    first champion in the 14 days after the onset over its cost in the same days without a change. `judged` are the
    first champion's measures when it was judged, `monitored` are the days that it decided. `cpu_seconds`: the processor
    time from the onset on.
    """

    scenario: str
    seed: int
    found_on: int | None
    found_columns: list[str]
    detected_on: int | None
    alarms_before: list[int]
    quarantined_before: int
    quarantined_after: int
    retrainings: list[Retraining]
    cost_ratio: float
    regained: Regained | None
    judged: JudgedMeasures
    monitored: list[MonitoredDay]
    cpu_seconds: float


def outcome_of(
    loop: MonitoredLoop, scenario: StressScenario, seed: int, held: HeldRows, calm: HeldRows, cpu_seconds: float
) -> WorldOutcome:
    """Return the outcome of a world that has run to its end; `held` are rows of the same scenario, `calm` of none."""
    first_day, policies = loop.world.days[0].day, loop.policies

    def number(day: date) -> int:
        return (day - first_day).days

    monitored = [record for record in loop.progress if isinstance(record, DayMonitored)]
    found = [record for record in monitored if any(finding.blocks for finding in record.data_findings)]
    decayed = [number(record.day) for record in loop.progress if isinstance(record, DriftDetected)]
    after = [record for record in found if number(record.day) >= ONSET_DAY]
    excluded = [number(day) for day in loop.excluded_days if number(day) >= HISTORY_DAYS]
    first = loop.detector(FIRST_VERSION)

    def cost(version: str, rows: HeldRows, first_day: int, until_day: int) -> float:
        return rows.cost_minor(loop.detector(version), policies.decision, first_day, until_day)

    regained = None
    if scenario.expectation is Expectation.RETRAIN:
        from_day, until = ONSET_DAY + REGAINED_AFTER_DAYS, ONSET_DAY + REGAINED_AFTER_DAYS + HARM_DAYS
        hindsight = train_in_hindsight(loop.world, loop.world.days[from_day].day, policies.training)
        regained = Regained(
            first=cost(FIRST_VERSION, held, from_day, until),
            served=cost(loop.served_on(loop.world.days[from_day].day), held, from_day, until),
            hindsight=held.cost_minor(hindsight, policies.decision, from_day, until),
        )
    changed, unchanged = (
        rows.cost_minor(first, policies.decision, ONSET_DAY, ONSET_DAY + HARM_DAYS) for rows in (held, calm)
    )
    return WorldOutcome(
        scenario=scenario.name,
        seed=seed,
        found_on=number(after[0].day) if after else None,
        found_columns=sorted({finding.column for finding in after[0].data_findings if finding.blocks}) if after else [],
        detected_on=next((day for day in decayed if day >= ONSET_DAY), None),
        alarms_before=[day for day in decayed if day < ONSET_DAY],
        quarantined_before=sum(day < ONSET_DAY for day in excluded),
        quarantined_after=sum(day >= ONSET_DAY for day in excluded),
        retrainings=_retrainings(loop, held, policies, first_day),
        cost_ratio=changed / unchanged,
        regained=regained,
        judged=judged_measures_of(loop.registry, FIRST_VERSION),
        monitored=[
            _monitored(record, number(record.day)) for record in monitored if record.champion_version == FIRST_VERSION
        ],
        cpu_seconds=cpu_seconds,
    )


def _monitored(record: DayMonitored, day: int) -> MonitoredDay:
    return MonitoredDay(
        day=day,
        average_precision=record.average_precision,
        matured_frauds=record.matured_frauds,
        missed_frauds=record.missed_frauds,
        matured_decisions=record.matured_decisions,
        drift_share=record.drift_share,
        is_blocked=any(finding.blocks for finding in record.data_findings),
        estimated_average_precision=record.estimated_average_precision,
        estimate_of_matured=record.estimate_of_matured,
    )


def _retrainings(loop: MonitoredLoop, held: HeldRows, policies: Policies, first_day: date) -> list[Retraining]:
    started = {record.day: record for record in loop.progress if isinstance(record, RetrainingStarted)}
    ended: Sequence[RetrainingEnded] = [record for record in loop.progress if isinstance(record, RetrainingEnded)]
    found = []
    for record in ended:
        day = (record.day - first_day).days
        champion, challenger = (
            None
            if version is None
            else held.cost_minor(loop.detector(version), policies.decision, day + 1, day + 1 + HARM_DAYS)
            for version in (started[record.day].champion_version, record.challenger_version)
        )
        found.append(
            Retraining(
                day=day,
                promoted=record.promoted,
                reasons=record.reasons,
                champion_cost_minor=champion,
                challenger_cost_minor=challenger,
            )
        )
    return found
