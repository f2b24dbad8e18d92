"""The quarantine in the state of monitoring, rebuilt from the records."""

from datetime import date

import pytest
from msgspec import structs

from cardwatch.data_contract.finding import DataFinding
from cardwatch.drift.assessment import DayObservation
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import JudgedMeasures, MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from cardwatch.drift.progress_state import AssessedDay, ProgressState
from cardwatch.progress import DayMonitored, Progress, QuarantineReleased
from tests.day_records import day_number

GOOD = MeasuredPerformance(average_precision=0.9, frauds=200)
LOST = MeasuredPerformance(average_precision=0.2, frauds=200)
FEW, MANY = MissedFrauds(frauds=40.0, decisions=28_000), MissedFrauds(frauds=160.0, decisions=28_000)
JUDGED = JudgedMeasures(performance=GOOD, missed=FEW)


def state_of(records: list[Progress]) -> ProgressState:
    state = ProgressState(DriftPolicy(), lambda _version: JUDGED)
    for record in records:
        state.add(record)
    return state


def missing(day: date) -> DataFinding:
    return DataFinding(
        check="null_share", column="device_id", day=day, since=day, affects_from=day, sentence="device_id is missing"
    )


def observation(number: int, performance: MeasuredPerformance, *, broken: bool = False) -> DayObservation:
    day = day_number(number)
    return DayObservation(
        day=day,
        champion_version="1",
        drifted_features=[],
        drift_share=0.0,
        not_compared={},
        null_share_changes={},
        data_findings=[missing(day)] if broken else [],
        performance=performance,
        judged_performance=GOOD,
    )


def monitor(records: list[Progress], day: DayObservation) -> AssessedDay:
    """Assess a day in a state that is rebuilt, as after a restart, and add its records."""
    assessed = state_of(records).assess(day)
    news = (assessed.drift_detected, assessed.retraining_started, assessed.monitored)
    records.extend(record for record in news if record is not None)
    return assessed


def test_the_quarantine_survives_a_restart_and_its_days_go_with_the_retraining() -> None:
    records: list[Progress] = []
    for number in range(20):
        broken = number in (3, 4) or number >= 12
        assert monitor(records, observation(number, LOST, broken=broken)).retraining_started is None or number < 12
    assert state_of(records).quarantine.excluded_days == {day_number(number) for number in (3, 4, *range(12, 20))}
    newest = state_of(records).quarantine.open_findings
    assert [finding.since for finding in newest] == [day_number(12)]


def test_a_decayed_champion_is_retrained_when_the_column_is_right_again() -> None:
    records: list[Progress] = []
    for number in range(20):
        assert monitor(records, observation(number, LOST, broken=number >= 2)).retraining_started is None
    started = monitor(records, observation(20, LOST)).retraining_started
    assert started is not None
    assert started.excluded_days == [day_number(number) for number in range(2, 20)]


def test_released_days_are_trained_on_again() -> None:
    records: list[Progress] = []
    for number in range(20):
        monitor(records, observation(number, LOST, broken=number >= 2))
    records.append(QuarantineReleased(first_day=day_number(0), day=day_number(18), because="the source confirms them"))
    started = monitor(records, observation(20, LOST)).retraining_started
    assert started is not None
    assert started.excluded_days == [day_number(19)]


def test_days_of_more_missed_frauds_are_counted_over_restarts() -> None:
    records: list[Progress] = []
    required = DriftPolicy().judge_days + DriftPolicy().new_training_days
    days = [
        structs.replace(observation(number, GOOD), missed=MANY, judged_missed=FEW) for number in range(required + 1)
    ]
    started = [monitor(records, day).retraining_started is not None for day in days]
    assert started == [False] * (required - 1) + [True] * 2
    [first, *_] = [record for record in records if isinstance(record, DayMonitored)]
    assert (first.missed_frauds, first.matured_decisions) == (160, 28_000)
    assert first.baseline_missed_per_10000 == pytest.approx(10_000 * 40 / 28_000)
