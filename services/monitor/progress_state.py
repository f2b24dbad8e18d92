"""What the topic `progress` says about the days so far: which are to be monitored, and which have been."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from cardwatch.drift.policy import (
    Assessment,
    DayObservation,
    DriftPolicy,
    DriftState,
    MeasuredPerformance,
    after_retraining,
    assess,
)
from cardwatch.progress import (
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    Progress,
    RetrainingEnded,
    RetrainingStarted,
)


class Memory:
    """The monitor's whole state, a function of the topic's records in their order: a restart reads them again.

    A record that was taken in before changes nothing. `promised_of` gives what was promised of a version.
    """

    def __init__(self, policy: DriftPolicy, promised_of: Callable[[str], MeasuredPerformance | None]) -> None:
        self.watch = DriftState()
        self.worn_out: set[str] = set()
        self.started: dict[date, RetrainingStarted] = {}
        self.ended: dict[date, RetrainingEnded] = {}
        self._policy, self._promised_of = policy, promised_of
        self._live: set[date] = set()
        self._archived: list[date] = []
        self._monitored: set[date] = set()

    def take(self, record: Progress) -> None:
        """Take in the next record of the topic."""
        match record:
            case DayEmitted(decided=True):
                self._live.add(record.day)
            case DayArchived() if record.day in self._live:
                self._archived.append(record.day)
            case DriftDetected():
                self.worn_out.add(record.champion_version)
            case RetrainingStarted():
                self.started[record.day] = record
            case RetrainingEnded() if record.day not in self.ended:
                self.ended[record.day] = record
                self.watch = after_retraining(self.watch, record.day, promoted=record.promoted)
            case DayMonitored() if record.day not in self._monitored:
                self._monitored.add(record.day)
                seen = observed_then(record, self._promised_of(record.champion_version))
                self.watch, _ = assess(self.watch, seen, self._policy)
            case _:
                pass

    def next_day(self) -> date | None:
        """The oldest live day that is archived and has not been monitored."""
        return min((day for day in self._archived if day not in self._monitored), default=None)


def observed_then(told: DayMonitored, promised: MeasuredPerformance | None) -> DayObservation:
    """The observation that a day's record was made from."""
    return DayObservation(
        day=told.day,
        champion_version=told.champion_version,
        drifted_features=told.drifted_features,
        drift_share=told.drift_share,
        performance=(
            None
            if told.average_precision is None
            else MeasuredPerformance(average_precision=told.average_precision, frauds=told.matured_frauds)
        ),
        promised=promised,
    )


def monitored(seen: DayObservation, assessment: Assessment) -> DayMonitored:
    """The record of a day from which the observation can be had again (`observed_then`)."""
    performance, baseline = seen.performance, assessment.baseline
    return DayMonitored(
        day=seen.day,
        champion_version=seen.champion_version,
        average_precision=performance.average_precision if performance else None,
        baseline_average_precision=baseline.average_precision if baseline else None,
        matured_frauds=performance.frauds if performance else 0,
        drifted_features=seen.drifted_features,
        drift_share=seen.drift_share,
        state=assessment.state,
    )
