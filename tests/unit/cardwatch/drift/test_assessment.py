"""When a model counts as decayed, and when it is retrained. Numbers are chosen so that standard errors are round."""

from datetime import date, timedelta

import pytest
from msgspec import structs

from cardwatch.data_contract.finding import DataFinding
from cardwatch.drift.assessment import Assessment, DayObservation, DriftState, after_retraining, assess
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy, EvidenceThreshold
from cardwatch.progress import DECAYED, STABLE, SUSPECTED, NullShareChange

FIRST = date(2025, 3, 1)
POLICY = DriftPolicy(
    maturity_days=5,
    drift_share=0.2,
    drift_memory_days=4,
    minimum_frauds=30,
    design_effect=1.0,
    missed_design_effect=2.0,
    with_drift=EvidenceThreshold(loss=0.1, standard_errors=1.0, days=2, missed_ratio=1.5, missed_standard_errors=1.5),
    without_drift=EvidenceThreshold(
        loss=0.3, standard_errors=3.0, days=3, missed_ratio=1.5, missed_standard_errors=3.0
    ),
    judge_days=2,
    new_training_days=2,
    cooldown_days_after_promotion=10,
    cooldown_days_after_refusal=3,
)
GOOD = MeasuredPerformance(average_precision=0.6, frauds=100)
LESS = MeasuredPerformance(
    average_precision=0.5, frauds=100
)  # a sixth lost: 0.1 / sqrt((0.24 + 0.25) / 100) = 1.43 errors
FAR_LESS = MeasuredPerformance(
    average_precision=0.2, frauds=100
)  # two thirds: 0.4 / sqrt((0.24 + 0.16) / 100) = 6.3 errors
FEW = MissedFrauds(frauds=40, decisions=10_000)
MORE = MissedFrauds(frauds=64, decisions=10_000)  # 1.6 times: 8.02 - 6.35 = 1.67 standard errors of 2 / 4 * 2 = 1
MANY = MissedFrauds(frauds=120, decisions=10_000)  # 3 times: 10.97 - 6.35 = 4.6 standard errors
DRIFT, NO_DRIFT = 0.5, 0.0


def on(day: int, performance: MeasuredPerformance | None, drift: float = NO_DRIFT, **changes: object) -> DayObservation:
    seen: dict[str, object] = {
        "day": FIRST + timedelta(days=day),
        "champion_version": "1",
        "drifted_features": ["amount"] if drift else [],
        "drift_share": drift,
        "not_compared": {},
        "null_share_changes": {},
        "performance": performance,
        "judged_performance": GOOD,
        "judged_missed": FEW,
    }
    return DayObservation(**{**seen, **changes})  # type: ignore[arg-type]


def assessed(*days: DayObservation, drift_state: DriftState | None = None) -> tuple[DriftState, Assessment]:
    drift_state = drift_state or DriftState()
    for seen in days:
        drift_state, assessment = assess(drift_state, seen, POLICY)
    return drift_state, assessment


def last(*days: DayObservation, drift_state: DriftState | None = None) -> Assessment:
    return assessed(*days, drift_state=drift_state)[1]


def test_a_model_that_performs_as_judged_is_stable() -> None:
    assessment = last(*(on(day, GOOD) for day in range(20)))
    assert (assessment.state, assessment.retrain, assessment.reasons) == (STABLE, False, [])
    assert assessment.baseline == GOOD


def test_data_drift_alone_is_a_suspicion_and_never_a_retraining() -> None:
    assessment = last(*(on(day, GOOD, DRIFT) for day in range(50)))
    assert (assessment.state, assessment.retrain) == (SUSPECTED, False)
    assert assessment.reasons == ["50% of the features have drifted, threshold 20%: amount"]


def test_findings_about_the_data_are_reasons_and_leave_the_model_stable() -> None:
    findings = {
        "not_compared": {"count_1h": "of A", "margin": "of B", "amount": "of A"},
        "null_share_changes": {
            "device_is_new": NullShareChange(reference=0.5, current=1.0),
            "device_age": NullShareChange(reference=0.32, current=0.04),
        },
    }
    assessment = last(*(on(day, GOOD, **findings) for day in range(50)))
    assert (assessment.state, assessment.retrain) == (STABLE, False)
    assert assessment.reasons == [
        "the share of missing values has changed: device_is_new 50% to 100%, device_age 32% to 4%",
        "cannot be compared, because of A: count_1h, amount",
        "cannot be compared, because of B: margin",
    ]


def test_a_small_loss_without_drift_is_a_suspicion_however_long_it_lasts() -> None:
    assessment = last(*(on(day, LESS) for day in range(50)))
    assert (assessment.state, assessment.retrain) == (SUSPECTED, False)


def test_a_small_loss_with_drift_makes_the_model_decayed_on_the_second_day() -> None:
    assert last(on(0, LESS, DRIFT)).state == SUSPECTED
    assert last(on(0, LESS, DRIFT), on(1, LESS, DRIFT)).state == DECAYED


def test_a_decayed_model_stays_decayed_while_the_same_loss_is_less_certain() -> None:
    # With 4 frauds, 0.4 lost are 0.4 / sqrt(0.24 / 100 + 0.16 / 4) = 1.9 errors; POLICY wants 30 frauds and 3 errors.
    few = MeasuredPerformance(average_precision=0.2, frauds=4)
    # With 30 frauds, 0.21 lost are 0.21 / sqrt(0.0024 + 0.238 / 30) = 2.1 errors: a third, and less than 3 errors.
    uncertain = MeasuredPerformance(average_precision=0.39, frauds=30)
    decayed, _ = assessed(*(on(day, FAR_LESS) for day in range(3)))
    for day, performance in enumerate((uncertain, few, None), start=3):
        decayed, assessment = assessed(on(day, performance), drift_state=decayed)
        assert assessment.state == DECAYED
        assert assessment.reasons
    assert last(*(on(day, uncertain) for day in range(9))).state == SUSPECTED  # it would not decay by itself


def test_a_decayed_model_recovers_when_the_loss_has_gone() -> None:
    decayed, _ = assessed(*(on(day, FAR_LESS) for day in range(3)))
    nearly = MeasuredPerformance(average_precision=0.55, frauds=30)  # a twelfth lost, which is less than a tenth
    assert last(on(3, nearly), drift_state=decayed).state == STABLE


def test_a_model_that_misses_far_more_fraud_recovers_only_when_it_misses_less() -> None:
    decayed, _ = assessed(*(on(day, GOOD, missed=MANY) for day in range(3)))
    still = MissedFrauds(frauds=61, decisions=10_000)  # 1.525 times as many: 7.83 - 6.35 = 1.48 errors, below 1.5
    decayed, assessment = assessed(on(3, GOOD, missed=still), drift_state=decayed)
    assert assessment.state == DECAYED
    assert assessment.reasons == [
        "the champion has not recovered: average precision 0.600 over 100 matured frauds, baseline 0.600; "
        "61.0 missed frauds per 10,000 decisions (61 in 10,000), baseline 40.0 missed frauds per 10,000 decisions "
        "(40 in 10,000)",
        "retraining waits for 4 days of loss in a row",
    ]
    assert last(on(4, GOOD, missed=FEW), drift_state=decayed).state == STABLE


def test_a_new_champion_is_not_decayed_because_the_former_was() -> None:
    decayed, _ = assessed(*(on(day, FAR_LESS) for day in range(3)))
    assert last(on(3, None, champion_version="2"), drift_state=decayed).state == STABLE


@pytest.mark.rubric("monitor-7")
def test_a_large_loss_without_drift_makes_the_model_decayed_on_the_third_day() -> None:
    days = [on(day, FAR_LESS) for day in range(3)]
    assert last(*days[:2]).state == SUSPECTED
    assert last(*days).state == DECAYED


def test_one_better_day_resets_the_count_of_days() -> None:
    assert last(on(0, LESS, DRIFT), on(1, GOOD, DRIFT), on(2, LESS, DRIFT)).state == SUSPECTED


def test_drift_counts_until_its_labels_can_have_matured() -> None:
    quiet = [on(day, GOOD) for day in range(1, 3)]
    assert last(on(0, GOOD, DRIFT), *quiet, on(3, LESS), on(4, LESS)).state == SUSPECTED
    assert last(on(0, GOOD, DRIFT), quiet[0], on(2, LESS), on(3, LESS)).state == DECAYED


def test_retraining_waits_for_days_of_loss_beyond_those_it_is_judged_on() -> None:
    days = [on(day, FAR_LESS) for day in range(4)]  # judged on 2, trained on 2
    assert not last(*days[:3]).retrain
    assert "waits for 4 days of loss" in last(*days[:3]).reasons[-1]
    assert last(*days).retrain


def test_retraining_waits_until_the_first_day_of_drift_can_be_trained_on() -> None:
    days = [on(day, LESS, DRIFT) for day in range(8)]
    # at the end of day 6 the matured days end with day 1, and 0 and 1 are judged on; at the end of day 7 day 0 is free
    assert not last(*days[:7]).retrain
    assert last(*days).retrain


def test_an_old_drift_does_not_delay_the_retraining_after_a_new_loss() -> None:
    before = [on(day, GOOD, DRIFT) for day in range(30)]
    losing = [on(day, LESS, DRIFT) for day in range(30, 34)]
    assert not last(*before, *losing[:3]).retrain
    assert last(*before, *losing).retrain


def test_drift_that_went_away_starts_again_when_it_returns() -> None:
    drift_state, _ = assessed(on(0, GOOD, DRIFT), *(on(day, GOOD) for day in range(1, 6)), on(6, GOOD, DRIFT))
    assert (drift_state.drift_since, drift_state.last_drift) == (FIRST + timedelta(days=6), FIRST + timedelta(days=6))


@pytest.mark.parametrize(("promoted", "cooldown_days"), [(True, 10), (False, 3)])
def test_a_retraining_is_followed_by_a_cooldown(promoted: bool, cooldown_days: int) -> None:
    drift_state, assessment = assessed(*(on(day, FAR_LESS) for day in range(10)))
    assert assessment.retrain
    drift_state = after_retraining(drift_state, FIRST + timedelta(days=9), promoted=promoted)
    cooling_down = [on(day, FAR_LESS) for day in range(10, 9 + cooldown_days)]
    assert last(*cooling_down, drift_state=drift_state).state == DECAYED
    assert not last(*cooling_down, drift_state=drift_state).retrain
    assert last(*cooling_down, on(9 + cooldown_days, FAR_LESS), drift_state=drift_state).retrain


def test_the_state_of_the_old_champion_does_not_count_for_a_new_one() -> None:
    decayed = [on(day, FAR_LESS, DRIFT) for day in range(10)]
    assert last(*decayed).retrain
    successor = on(10, FAR_LESS, champion_version="2", judged_performance=FAR_LESS)
    assert last(*decayed, successor).state == STABLE


def test_with_too_few_mature_frauds_performance_is_not_judged() -> None:
    few = MeasuredPerformance(average_precision=0.0, frauds=29)
    assert last(*(on(day, few) for day in range(9))).state == STABLE
    assert last(*(on(day, None) for day in range(9))).state == STABLE


def test_without_a_judged_performance_the_first_sufficient_window_is_the_baseline() -> None:
    few = MeasuredPerformance(average_precision=0.9, frauds=29)
    days = [on(0, few, judged_performance=None), *(on(day, GOOD, judged_performance=None) for day in range(1, 4))]
    assert last(*days).baseline == GOOD
    losing = [on(day, FAR_LESS, judged_performance=None) for day in range(4, 8)]
    assert last(*days, *losing).retrain


def test_reasons_contain_the_numbers() -> None:
    assert last(on(0, LESS, DRIFT), on(1, LESS, DRIFT)).reasons == [
        "50% of the features have drifted, threshold 20%: amount",
        "average precision 0.500 over 100 matured frauds, baseline 0.600: 17% lost, 1.4 standard errors, "
        "2 days of loss in a row",
        "retraining waits for 4 days of loss in a row",
    ]


def test_the_order_of_assessment_and_verdict_does_not_matter() -> None:
    days = [on(day, FAR_LESS) for day in range(4)]
    before, _ = assessed(*days[:3])
    ended = FIRST + timedelta(days=3)
    verdict_last = after_retraining(assessed(days[3], drift_state=before)[0], ended, promoted=False)
    verdict_first, _ = assessed(days[3], drift_state=after_retraining(before, ended, promoted=False))
    assert verdict_last == verdict_first


def test_a_decayed_model_is_not_retrained_while_the_data_contract_fails() -> None:
    broken = DataFinding(
        check="null_share",
        column="device_id",
        day=FIRST + timedelta(days=9),
        since=FIRST + timedelta(days=7),
        affects_from=FIRST + timedelta(days=9),
        sentence="device_id is missing",
    )
    days = [on(day, FAR_LESS) for day in range(9)]
    assert last(*days, on(9, FAR_LESS)).retrain
    blocked = last(*days, on(9, FAR_LESS, data_findings=[broken]))
    assert (blocked.state, blocked.retrain) == (DECAYED, False)
    assert blocked.reasons[1:] == [
        "retraining is blocked by a quarantine since 2025-03-08: the data contract fails for device_id",
        "device_id is missing, since 2025-03-08",
    ]
    reported = structs.replace(broken, blocks=False)
    assert last(*days, on(9, FAR_LESS, data_findings=[reported])).retrain


def test_far_more_missed_frauds_make_a_model_decayed_that_ranks_as_well_as_ever() -> None:
    days = [on(day, GOOD, missed=MANY) for day in range(4)]
    assert [last(*days[:seen]).state for seen in (1, 2, 3)] == [STABLE, SUSPECTED, DECAYED]
    assert not last(*days[:3]).retrain  # judged on 2 days and trained on 2, as after a loss of average precision
    assert last(*days).retrain


def test_a_few_more_missed_frauds_count_beside_a_drift_only() -> None:
    assert last(*(on(day, GOOD, missed=MORE) for day in range(50))).state == SUSPECTED
    assert last(*(on(day, GOOD, DRIFT, missed=MORE) for day in range(2))).state == DECAYED


def test_a_certain_but_small_rise_of_missed_frauds_is_no_loss() -> None:
    busy = MissedFrauds(frauds=40_000, decisions=10_000_000)
    slightly_more = MissedFrauds(frauds=56_000, decisions=10_000_000)  # 1.4 times, many standard errors
    days = [on(day, GOOD, DRIFT, missed=slightly_more, judged_missed=busy) for day in range(9)]
    assert last(*days).state == SUSPECTED  # for the drift
    assert last(*days).reasons == ["50% of the features have drifted, threshold 20%: amount"]


def test_days_of_loss_count_whichever_measure_shows_it() -> None:
    assert last(on(0, LESS, DRIFT), on(1, GOOD, DRIFT, missed=MORE)).state == DECAYED
    assert last(on(0, LESS, DRIFT), on(1, GOOD, DRIFT, missed=FEW)).state == SUSPECTED


def test_the_reasons_state_the_rates_of_missed_frauds() -> None:
    assert last(*(on(day, GOOD, missed=MANY) for day in range(3))).reasons == [
        "120.0 missed frauds per 10,000 decisions (120 in 10,000), baseline 40.0 missed frauds per 10,000 decisions "
        "(40 in 10,000): 3.0 times as many, 4.6 standard errors, 3 days of loss in a row",
        "retraining waits for 4 days of loss in a row",
    ]


def test_a_rise_from_no_missed_frauds_is_stated_without_a_ratio() -> None:
    none = MissedFrauds(frauds=0, decisions=10_000)
    [sentence] = last(on(0, GOOD, missed=MANY, judged_missed=none)).reasons
    assert "baseline 0.0 missed frauds per 10,000 decisions (0 in 10,000): " in sentence
    assert "inf" not in sentence


def test_without_judged_missed_frauds_the_first_sufficient_window_is_the_baseline() -> None:
    few = structs.replace(GOOD, frauds=29)
    before = [on(0, few, missed=MANY, judged_missed=None), on(1, GOOD, missed=FEW, judged_missed=None)]
    assert last(*before).baseline_missed == FEW
    assert last(*before, *(on(day, GOOD, missed=MANY, judged_missed=None) for day in range(2, 6))).retrain


def test_missed_frauds_are_not_assessed_with_too_few_mature_frauds_or_without_a_baseline() -> None:
    few = structs.replace(GOOD, frauds=29)
    assert last(*(on(day, few, missed=MANY) for day in range(9))).state == STABLE
    assert last(*(on(day, GOOD, missed=None) for day in range(9))).state == STABLE
