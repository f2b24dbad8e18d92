"""State of monitoring, rebuilt from the progress records, and the daily step that turns an observation into records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import NamedTuple

from msgspec import structs

from cardwatch.data_contract.quarantine import QuarantineState, after_day, after_release, with_since
from cardwatch.drift.assessment import Assessment, DayObservation, DriftState, after_retraining, assess
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import JudgedMeasures, MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from cardwatch.drift.signals import with_beginnings
from cardwatch.progress import (
    DECAYED,
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    Progress,
    QuarantineReleased,
    RetrainingEnded,
    RetrainingStarted,
    Signal,
)


class AssessedDay(NamedTuple):
    """The records that follow from the assessment of a day, in the order in which they are published.

    `drift_detected` is None unless this is the first day on which the champion is decayed. `retraining_started` is None
    unless the policy requests a retraining that has not been started yet.
    """

    drift_detected: DriftDetected | None
    retraining_started: RetrainingStarted | None
    monitored: DayMonitored
    summary: str


class ProgressState:
    """State of monitoring: a function of the progress records in their order, so that a restart rebuilds it.

    A record that is added again changes nothing. `judged_measures_of` returns the measures of a version when it was
    judged. `quarantine` says which days are excluded, see `cardwatch.data_contract.quarantine`.
    """

    def __init__(self, policy: DriftPolicy, judged_measures_of: Callable[[str], JudgedMeasures]) -> None:
        self.started: dict[date, RetrainingStarted] = {}
        self.ended: dict[date, RetrainingEnded] = {}
        self.quarantine = QuarantineState()
        self._policy, self._judged_measures_of = policy, judged_measures_of
        self._drift_state = DriftState()
        self._decayed_versions: set[str] = set()
        self._live: set[date] = set()
        self._archived: list[date] = []
        self._monitored: set[date] = set()
        self._signals: list[Signal] = []

    def add(self, record: Progress) -> None:
        """Add the next progress record."""
        match record:
            case DayEmitted(decided=True):
                self._live.add(record.day)
            case DayArchived() if record.day in self._live:
                self._archived.append(record.day)
            case DriftDetected():
                self._decayed_versions.add(record.champion_version)
            case RetrainingStarted():
                self.started[record.day] = record
            case RetrainingEnded() if record.day not in self.ended:
                self.ended[record.day] = record
                self._drift_state = after_retraining(self._drift_state, record.day, promoted=record.promoted)
            case DayMonitored() if record.day not in self._monitored:
                self._monitored.add(record.day)
                self._signals = record.signals
                observation = _observation(record, self._judged_measures_of(record.champion_version))
                self._drift_state, _ = assess(self._drift_state, observation, self._policy)
                self.quarantine = quarantine_after([record], self.quarantine)
            case QuarantineReleased():
                self.quarantine = quarantine_after([record], self.quarantine)
            case _:
                pass

    def next_day(self) -> date | None:
        """Return the oldest live day that is archived and not monitored yet."""
        return min((day for day in self._archived if day not in self._monitored), default=None)

    def count_open_retrainings_as_refused(self) -> None:
        """Start the cooldown after a refusal for retrainings that have not ended."""
        for day in sorted(self.started.keys() - self.ended.keys()):
            last = self._drift_state.last_retraining
            if last is None or last.day < day:
                self._drift_state = after_retraining(self._drift_state, day, promoted=False)

    def assess(self, observation: DayObservation) -> AssessedDay:
        """Assess a day. The state changes only when the returned records are added."""
        day, version = observation.day, observation.champion_version
        findings = with_since(self.quarantine, observation.data_findings)
        observation = structs.replace(observation, data_findings=findings)
        _, assessment = assess(self._drift_state, observation, self._policy)
        before = self._signals if version == self._drift_state.champion_version else []
        found = with_beginnings(assessment.signals, before)
        state, reasons = assessment.state, assessment.reasons
        is_new = state == DECAYED and version not in self._decayed_versions
        starts = assessment.retrain and day not in self.started
        return AssessedDay(
            DriftDetected(day=day, champion_version=version, reasons=reasons) if is_new else None,
            self._retraining(observation, reasons) if starts else None,
            structs.replace(_day_monitored(observation, assessment), signals=found),
            f"{day}: version {version} is {state}" + (f" ({'; '.join(reasons)})" if reasons else ""),
        )

    def _retraining(self, observation: DayObservation, reasons: list[str]) -> RetrainingStarted:
        return RetrainingStarted(
            day=observation.day,
            champion_version=observation.champion_version,
            reasons=reasons,
            excluded_days=sorted(self.quarantine.excluded_days),
        )


def quarantine_after(records: Iterable[Progress], state: QuarantineState | None = None) -> QuarantineState:
    """Return the state of the quarantine after these progress records; it is empty before them."""
    state = state or QuarantineState()
    for record in records:
        if isinstance(record, DayMonitored) and (state.newest is None or record.day > state.newest):
            state = after_day(state, record.day, record.champion_version, record.data_findings)
        elif isinstance(record, QuarantineReleased):
            state = after_release(state, record.first_day, record.day)
    return state


def _observation(record: DayMonitored, judged: JudgedMeasures) -> DayObservation:
    """Return the observation from which `_day_monitored` made `record`."""
    return DayObservation(
        day=record.day,
        champion_version=record.champion_version,
        drifted_features=record.drifted_features,
        drift_share=record.drift_share,
        not_compared=record.not_compared,
        null_share_changes=record.null_share_changes,
        data_findings=record.data_findings,
        label_coverage=record.label_coverage,
        estimated_average_precision=record.estimated_average_precision,
        estimate_of_matured=record.estimate_of_matured,
        action_share_changes=record.action_share_changes,
        recall_bounds=record.recall_bounds,
        performance=(
            None
            if record.average_precision is None
            else MeasuredPerformance(average_precision=record.average_precision, frauds=record.matured_frauds)
        ),
        judged_performance=judged.performance,
        missed=(
            MissedFrauds(frauds=record.missed_frauds, decisions=record.matured_decisions)
            if record.matured_decisions
            else None
        ),
        judged_missed=judged.missed,
    )


def _day_monitored(observation: DayObservation, assessment: Assessment) -> DayMonitored:
    performance, baseline = observation.performance, assessment.baseline
    missed, baseline_missed = observation.missed, assessment.baseline_missed
    return DayMonitored(
        day=observation.day,
        champion_version=observation.champion_version,
        average_precision=performance.average_precision if performance else None,
        baseline_average_precision=baseline.average_precision if baseline else None,
        matured_frauds=performance.frauds if performance else 0,
        missed_frauds=round(missed.frauds) if missed else 0,
        matured_decisions=missed.decisions if missed else 0,
        baseline_missed_per_10000=baseline_missed.per_10000 if baseline_missed else None,
        drifted_features=observation.drifted_features,
        drift_share=observation.drift_share,
        not_compared=observation.not_compared,
        null_share_changes=observation.null_share_changes,
        data_findings=observation.data_findings,
        label_coverage=observation.label_coverage,
        estimated_average_precision=observation.estimated_average_precision,
        estimate_of_matured=observation.estimate_of_matured,
        action_share_changes=observation.action_share_changes,
        recall_bounds=observation.recall_bounds,
        state=assessment.state,
    )
