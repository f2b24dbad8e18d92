"""The summary of a demo, computed at its end from the archive and the topic `progress`.

Everything here is counted in simulated days. The change happens at the start of a day, detection and promotion
at the end of one; the promoted model decides from the next day on. So the days in between are the phase `after`:

    first live day        change            promotion              last live day
    |----- before --------|----- after --------|----- swapped --------|

Quality is that of the simulated truth, see `cli.demo.outcomes`: what the bank knew by then is in the records of
`progress`.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from adapters.archive.reader import Archive
from cardwatch.progress import DayEmitted, DayMonitored, DriftDetected, ModelMoved, Progress, RetrainingEnded
from cli.demo.acceptance import AcceptanceCheck, checks
from cli.demo.outcomes import DecisionOutcomes, Quality, read_outcomes
from cli.demo.phases import AFTER, BEFORE, SWAPPED, Phase
from cli.demo.plan import DemoPlan
from cli.demo.recorder import MeasuredLoad
from cli.demo.savings import Savings
from cli.demo.snapshot import DemoSnapshot
from cli.demo.topic_audit import TopicAudit

ROLLING_DAYS: Final = 5
_DAY: Final = timedelta(days=1)


class Delay(Struct, frozen=True, kw_only=True):
    """A delay in whole simulated days and in live transactions decided during it."""

    days: int
    transactions: int


class VerdictSummary(Struct, frozen=True, kw_only=True):
    """A finding at the end of a day: drift, or the verdict on a challenger, with reasons."""

    day: date
    version: str | None
    promoted: bool
    reasons: list[str]


class DaySummary(Struct, frozen=True, kw_only=True):
    """A live day. `quality` is of this day alone.

    `average_precision` is over up to `ROLLING_DAYS` days that end with this one, never across a change or a swap.
    Drift is what the monitor reported at the end of the day.
    """

    day: date
    version: str | None
    quality: Quality
    average_precision: float | None
    drift_share: float
    drifted_features: list[str]
    drift_state: str


class Facts(Struct, frozen=True, kw_only=True):
    """Results that depend on the seed only, not on the machine. `savings` is None until they are computed."""

    plan: DemoPlan
    currency: str
    closed: bool
    checks: list[AcceptanceCheck]
    phases: list[Phase]
    detection: VerdictSummary | None
    verdicts: list[VerdictSummary]
    moves: list[ModelMoved]
    promotion: VerdictSummary | None
    change_to_detection: Delay | None
    detection_to_promotion: Delay | None
    days: list[DaySummary]
    lost: int
    duplicates: int
    savings: Savings | None = None


class Timings(Struct, frozen=True, kw_only=True):
    """Results that depend on the machine. The latencies are those of the phase at a fixed offered rate.

    Percentiles are in ms. `histogram` counts latencies between successive `histogram_edges_ms`.
    """

    elapsed_seconds: float
    degraded: int
    counts: TopicAudit
    measured_seconds: float
    measured_decisions: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    histogram: list[int]
    histogram_edges_ms: list[float]

    @property
    def decisions_per_second(self) -> float:
        """Over the phase at a fixed offered rate."""
        return self.measured_decisions / self.measured_seconds if self.measured_seconds else 0.0


class DemoSummary(Struct, frozen=True, kw_only=True):
    """The whole result: `facts` may be compared between runs, `timings` may not."""

    facts: Facts
    timings: Timings

    def save(self, path: Path) -> None:
        """Write it as indented JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")


def measure(measured: MeasuredLoad, snapshot: DemoSnapshot, counts: TopicAudit) -> Timings:
    """The timings of a demo whose last snapshot is `snapshot`."""
    latencies_ms = measured.latencies_ms
    percentiles: list[float | None] = [None] * 4
    histogram: list[int] = []
    edges: list[float] = []
    if len(latencies_ms):
        percentiles = [float(value) for value in np.percentile(latencies_ms, [50, 95, 99, 99.9])]
        lowest, highest = max(0.1, latencies_ms.min()), max(1.0, latencies_ms.max())
        edges = np.geomspace(lowest * 0.99, highest * 1.01, 41).tolist()
        histogram = np.histogram(latencies_ms, edges)[0].tolist()
    p50_ms, p95_ms, p99_ms, p999_ms = percentiles
    return Timings(
        elapsed_seconds=snapshot.elapsed_seconds,
        degraded=snapshot.degraded,
        counts=counts,
        measured_seconds=measured.seconds,
        measured_decisions=len(latencies_ms),
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        p999_ms=p999_ms,
        histogram=histogram,
        histogram_edges_ms=edges,
    )


def summarise(
    snapshot: DemoSnapshot, archive: Archive, progress: Sequence[Progress], timings: Timings, frauds: Set[str]
) -> DemoSummary:
    """The result of the demo whose last snapshot is `snapshot`. `progress` is the whole topic, in order.

    `frauds` are the ids of all fraudulent transactions, see `cli.demo.outcomes.true_frauds`.
    """
    plan = snapshot.plan
    last_day = max(
        (told.day for told in progress if isinstance(told, DayEmitted) and told.decided), default=plan.first_live_day
    )
    outcomes = read_outcomes(
        archive, plan.first_live_day, last_day, frauds=frauds, challenge_stops_fraud=plan.challenge_stops_fraud
    )
    detections = [_found(told) for told in progress if isinstance(told, DriftDetected)]
    verdicts = [_judged(told) for told in progress if isinstance(told, RetrainingEnded)]
    detection = _first(detections, plan.change_day)
    moves = [told for told in progress if isinstance(told, ModelMoved)]
    promotion = _first([_promoted(told, verdicts) for told in moves if told.kind == "promote"], plan.change_day)
    phases = _phases(plan, promotion, last_day, outcomes)
    counts = timings.counts
    verdict = checks(
        {phase.name: phase.quality.average_precision for phase in phases},
        changed=plan.change_day is not None,
        alarms_before=[turn.day for turn in detections if plan.change_day is None or turn.day < plan.change_day],
        detected=detection.day if detection else None,
        retrained=len(verdicts),
        promoted=promotion.day if promotion else None,
        undesired={
            "lost": counts.lost,
            "too many": counts.duplicates + counts.strays,
            "by the rules alone, without a model": timings.degraded,
        },
    )
    facts = Facts(
        plan=plan,
        currency=snapshot.fraud.currency,
        closed=all(check.passed for check in verdict),
        checks=verdict,
        phases=phases,
        detection=detection,
        verdicts=verdicts,
        moves=moves,
        promotion=promotion,
        change_to_detection=_delay(outcomes, plan.change_day - _DAY if plan.change_day else None, detection),
        detection_to_promotion=_delay(outcomes, detection.day if detection else None, promotion),
        days=_days(plan.first_live_day, last_day, phases, outcomes, progress),
        lost=counts.lost,
        duplicates=counts.duplicates,
    )
    return DemoSummary(facts=facts, timings=timings)


def _found(told: DriftDetected) -> VerdictSummary:
    return VerdictSummary(day=told.day, version=told.champion_version, promoted=False, reasons=told.reasons)


def _judged(told: RetrainingEnded) -> VerdictSummary:
    return VerdictSummary(day=told.day, version=told.challenger_version, promoted=told.promoted, reasons=told.reasons)


def _promoted(told: ModelMoved, verdicts: Sequence[VerdictSummary]) -> VerdictSummary:
    """The move that made a version champion, with the reasons of its verdict."""
    reasons = next((verdict.reasons for verdict in verdicts if verdict.version == told.version), [told.reason])
    return VerdictSummary(day=told.day, version=told.version, promoted=True, reasons=reasons)


def _first(turns: Sequence[VerdictSummary], change_day: date | None) -> VerdictSummary | None:
    """The first turn that the change can have caused."""
    return next((turn for turn in turns if change_day is not None and turn.day >= change_day), None)


def _phases(
    plan: DemoPlan, promotion: VerdictSummary | None, last_day: date, outcomes: DecisionOutcomes
) -> list[Phase]:
    """The phases that have a day, in order."""
    starts = {BEFORE: plan.first_live_day}
    if plan.change_day is not None:
        starts[AFTER] = plan.change_day
    if promotion is not None:
        starts[SWAPPED] = promotion.day + _DAY
    ends = [*(start - _DAY for start in list(starts.values())[1:]), last_day]
    return [
        Phase(name=name, first_day=first, last_day=last, quality=outcomes.between(first, last).quality())
        for (name, first), end in zip(starts.items(), ends, strict=True)
        if first <= (last := min(end, last_day))
    ]


def _delay(outcomes: DecisionOutcomes, since: date | None, until: VerdictSummary | None) -> Delay | None:
    """Return the delay from the end of day `since` to the end of the day of `until`."""
    if since is None or until is None:
        return None
    decided = outcomes.between(since + _DAY, until.day)
    return Delay(days=(until.day - since).days, transactions=len(decided.days))


def _days(
    first: date, last: date, phases: Sequence[Phase], outcomes: DecisionOutcomes, progress: Sequence[Progress]
) -> list[DaySummary]:
    monitored = {told.day: told for told in progress if isinstance(told, DayMonitored)}
    days = [first + _DAY * number for number in range((last - first).days + 1)]
    return [_day(day, phases, outcomes, monitored.get(day)) for day in days]


def _day(day: date, phases: Sequence[Phase], outcomes: DecisionOutcomes, told: DayMonitored | None) -> DaySummary:
    phase = next((phase for phase in phases if phase.first_day <= day <= phase.last_day), None)
    alone = outcomes.between(day, day)
    rolling = None
    if phase is not None:
        first = max(phase.first_day, day - _DAY * (ROLLING_DAYS - 1))
        rolling = outcomes.between(first, day).quality().average_precision
    return DaySummary(
        day=day,
        version=alone.version(),
        quality=alone.quality(),
        average_precision=rolling,
        drift_share=told.drift_share if told else 0.0,
        drifted_features=sorted(told.drifted_features) if told else [],
        drift_state=told.state if told else "",
    )
