"""When a model is called worn out, and when retraining is worth it. Numbers are chosen so that errors are round."""

from datetime import date, timedelta

import pytest

from cardwatch.drift.policy import (
    DECAYED,
    STABLE,
    SUSPECTED,
    Assessment,
    DayObservation,
    DriftPolicy,
    DriftState,
    EvidenceThreshold,
    MeasuredPerformance,
    after_retraining,
    assess,
    relative_loss,
    standard_errors_lost,
)

FIRST = date(2025, 3, 1)
POLICY = DriftPolicy(
    maturity_days=5,
    drift_share=0.2,
    drift_memory_days=4,
    minimum_frauds=30,
    design_effect=1.0,
    with_drift=EvidenceThreshold(loss=0.1, standard_errors=1.0, days=2),
    without_drift=EvidenceThreshold(loss=0.3, standard_errors=3.0, days=3),
    judge_days=2,
    learnable_days=2,
    days_after_promotion=10,
    days_after_refusal=3,
)
GOOD = MeasuredPerformance(average_precision=0.6, frauds=100)
LESS = MeasuredPerformance(
    average_precision=0.5, frauds=100
)  # a sixth lost: 0.1 / sqrt((0.24 + 0.25) / 100) = 1.43 errors
FAR_LESS = MeasuredPerformance(
    average_precision=0.2, frauds=100
)  # two thirds: 0.4 / sqrt((0.24 + 0.16) / 100) = 6.3 errors
DRIFT, NO_DRIFT = 0.5, 0.0


def on(day: int, performance: MeasuredPerformance | None, drift: float = NO_DRIFT, **changes: object) -> DayObservation:
    seen: dict[str, object] = {
        "day": FIRST + timedelta(days=day),
        "champion_version": "1",
        "drifted_features": ["amount"] if drift else [],
        "drift_share": drift,
        "performance": performance,
        "promised": GOOD,
    }
    return DayObservation(**{**seen, **changes})  # type: ignore[arg-type]


def watched(*days: DayObservation, watch: DriftState | None = None) -> tuple[DriftState, Assessment]:
    watch = watch or DriftState()
    for seen in days:
        watch, assessment = assess(watch, seen, POLICY)
    return watch, assessment


def last(*days: DayObservation, watch: DriftState | None = None) -> Assessment:
    return watched(*days, watch=watch)[1]


def test_a_loss_is_measured_against_the_baseline() -> None:
    assert relative_loss(GOOD, MeasuredPerformance(average_precision=0.45, frauds=1)) == pytest.approx(0.25)
    assert relative_loss(GOOD, MeasuredPerformance(average_precision=0.75, frauds=1)) == pytest.approx(-0.25)
    assert relative_loss(MeasuredPerformance(average_precision=0.0, frauds=9), GOOD) == 0.0


def test_the_error_of_a_loss_is_that_of_two_proportions() -> None:
    baseline, current = (
        MeasuredPerformance(average_precision=0.5, frauds=50),
        MeasuredPerformance(average_precision=0.4, frauds=48),
    )
    # 0.25 / 50 = 0.005 and 0.24 / 48 = 0.005: the root of their sum is 0.1
    assert standard_errors_lost(baseline, current, 1.0) == pytest.approx(1.0)
    assert standard_errors_lost(current, baseline, 1.0) == pytest.approx(-1.0)
    assert standard_errors_lost(baseline, current, 4.0) == pytest.approx(0.5)


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_nothing_and_everything_caught_are_not_certainties(extreme: float) -> None:
    certain = MeasuredPerformance(average_precision=extreme, frauds=98)
    # as if one fraud in a hundred were otherwise: sqrt(2 * 0.01 * 0.99 / 98) = 0.0142
    assert abs(standard_errors_lost(certain, LESS, 1.0)) < 0.5 / 0.0142


def test_a_model_that_keeps_its_promise_is_stable() -> None:
    assessment = last(*(on(day, GOOD) for day in range(20)))
    assert (assessment.state, assessment.retrain, assessment.reasons) == (STABLE, False, [])
    assert assessment.baseline == GOOD


def test_data_drift_alone_is_a_suspicion_and_never_a_retraining() -> None:
    assessment = last(*(on(day, GOOD, DRIFT) for day in range(50)))
    assert (assessment.state, assessment.retrain) == (SUSPECTED, False)
    assert assessment.reasons == ["50% of the features have drifted, 20% count: amount"]


def test_a_small_loss_without_drift_is_a_suspicion_however_long_it_lasts() -> None:
    assessment = last(*(on(day, LESS) for day in range(50)))
    assert (assessment.state, assessment.retrain) == (SUSPECTED, False)


def test_a_small_loss_with_drift_wears_the_model_out_on_the_second_day() -> None:
    assert last(on(0, LESS, DRIFT)).state == SUSPECTED
    assert last(on(0, LESS, DRIFT), on(1, LESS, DRIFT)).state == DECAYED


def test_a_large_loss_without_drift_wears_the_model_out_on_the_third_day() -> None:
    days = [on(day, FAR_LESS) for day in range(3)]
    assert last(*days[:2]).state == SUSPECTED
    assert last(*days).state == DECAYED


def test_one_better_day_breaks_the_row() -> None:
    assert last(on(0, LESS, DRIFT), on(1, GOOD, DRIFT), on(2, LESS, DRIFT)).state == SUSPECTED


def test_drift_counts_until_its_labels_can_have_matured() -> None:
    quiet = [on(day, GOOD) for day in range(1, 3)]
    assert last(on(0, GOOD, DRIFT), *quiet, on(3, LESS), on(4, LESS)).state == SUSPECTED
    assert last(on(0, GOOD, DRIFT), quiet[0], on(2, LESS), on(3, LESS)).state == DECAYED


def test_retraining_waits_for_days_of_loss_beyond_those_it_is_judged_on() -> None:
    days = [on(day, FAR_LESS) for day in range(4)]  # judged on 2, to be learnt from 2
    assert not last(*days[:3]).retrain
    assert "waits for 4 days of loss" in last(*days[:3]).reasons[-1]
    assert last(*days).retrain


def test_retraining_waits_until_the_first_day_of_drift_can_be_learnt_from() -> None:
    days = [on(day, LESS, DRIFT) for day in range(8)]
    # at the end of day 6 the matured days end with day 1, and 0 and 1 are judged on; at the end of day 7 day 0 is free
    assert not last(*days[:7]).retrain
    assert last(*days).retrain


def test_an_old_drift_does_not_hold_up_the_answer_to_a_new_loss() -> None:
    before = [on(day, GOOD, DRIFT) for day in range(30)]
    losing = [on(day, LESS, DRIFT) for day in range(30, 34)]
    assert not last(*before, *losing[:3]).retrain
    assert last(*before, *losing).retrain


def test_drift_that_went_away_begins_anew_when_it_comes_back() -> None:
    watch, _ = watched(on(0, GOOD, DRIFT), *(on(day, GOOD) for day in range(1, 6)), on(6, GOOD, DRIFT))
    assert (watch.drift_since, watch.last_drift) == (FIRST + timedelta(days=6), FIRST + timedelta(days=6))


@pytest.mark.parametrize(("promoted", "rest_days"), [(True, 10), (False, 3)])
def test_a_retraining_is_followed_by_a_rest(promoted: bool, rest_days: int) -> None:
    watch, assessment = watched(*(on(day, FAR_LESS) for day in range(10)))
    assert assessment.retrain
    watch = after_retraining(watch, FIRST + timedelta(days=9), promoted=promoted)
    resting = [on(day, FAR_LESS) for day in range(10, 9 + rest_days)]
    assert last(*resting, watch=watch).state == DECAYED
    assert not last(*resting, watch=watch).retrain
    assert last(*resting, on(9 + rest_days, FAR_LESS), watch=watch).retrain


def test_a_new_champion_begins_with_a_clean_slate() -> None:
    worn_out = [on(day, FAR_LESS, DRIFT) for day in range(10)]
    assert last(*worn_out).retrain
    successor = on(10, FAR_LESS, champion_version="2", promised=FAR_LESS)
    assert last(*worn_out, successor).state == STABLE


def test_too_few_matured_frauds_prove_nothing() -> None:
    few = MeasuredPerformance(average_precision=0.0, frauds=29)
    assert last(*(on(day, few) for day in range(9))).state == STABLE
    assert last(*(on(day, None) for day in range(9))).state == STABLE


def test_without_a_promise_the_first_sufficient_window_is_the_baseline() -> None:
    few = MeasuredPerformance(average_precision=0.9, frauds=29)
    days = [on(0, few, promised=None), *(on(day, GOOD, promised=None) for day in range(1, 4))]
    assert last(*days).baseline == GOOD
    losing = [on(day, FAR_LESS, promised=None) for day in range(4, 8)]
    assert last(*days, *losing).retrain


def test_reasons_tell_the_numbers() -> None:
    assert last(on(0, LESS, DRIFT), on(1, LESS, DRIFT)).reasons == [
        "50% of the features have drifted, 20% count: amount",
        "average precision 0.500 over 100 matured frauds, baseline 0.600: 17% lost, 1.4 standard errors, "
        "2 days in a row",
        "retraining waits for 4 days of loss in a row",
    ]


def test_the_order_of_assessment_and_verdict_does_not_matter() -> None:
    days = [on(day, FAR_LESS) for day in range(4)]
    before, _ = watched(*days[:3])
    ended = FIRST + timedelta(days=3)
    verdict_last = after_retraining(watched(days[3], watch=before)[0], ended, promoted=False)
    verdict_first, _ = watched(days[3], watch=after_retraining(before, ended, promoted=False))
    assert verdict_last == verdict_first
