"""Properties of the drift assessment that hold for every sequence of observations."""

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cardwatch.drift.assessment import DayObservation, DriftState, after_retraining, assess
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance, standard_errors_lost
from cardwatch.drift.policy import DriftPolicy
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.progress import DECAYED, NullShareChange

POLICY = DriftPolicy()
FIRST = date(2025, 1, 6)

measured = st.builds(MeasuredPerformance, average_precision=st.floats(0, 1), frauds=st.integers(0, 500))
shares = st.floats(0, 1)
days_seen = st.lists(st.tuples(st.none() | measured, shares), min_size=1, max_size=40)


def observations(
    seen: list[tuple[MeasuredPerformance | None, float]], judged_performance: MeasuredPerformance | None
) -> list[DayObservation]:
    return [
        DayObservation(
            day=FIRST + timedelta(days=number),
            champion_version="1",
            drifted_features=[],
            drift_share=share,
            not_compared={},
            null_share_changes={},
            performance=performance,
            judged_performance=judged_performance,
        )
        for number, (performance, share) in enumerate(seen)
    ]


@given(seen=days_seen, judged_performance=st.none() | measured)
def test_only_a_decayed_model_is_retrained_and_never_in_the_cooldown_after_a_retraining(
    seen: list[tuple[MeasuredPerformance | None, float]], judged_performance: MeasuredPerformance | None
) -> None:
    drift_state, retrained = DriftState(), []
    for observation in observations(seen, judged_performance):
        drift_state, assessment = assess(drift_state, observation, POLICY)
        if assessment.retrain:
            assert assessment.state == DECAYED
            assert assessment.reasons
            retrained.append(observation.day)
            drift_state = after_retraining(drift_state, observation.day, promoted=False)
    assert all(
        later - earlier >= timedelta(days=POLICY.cooldown_days_after_refusal) for earlier, later in pairwise(retrained)
    )


@given(seen=days_seen)
def test_a_model_without_a_loss_never_counts_as_decayed(seen: list[tuple[MeasuredPerformance | None, float]]) -> None:
    kept = MeasuredPerformance(average_precision=0.5, frauds=100)
    better: list[tuple[MeasuredPerformance | None, float]] = [
        (structs.replace(performance, average_precision=max(0.5, performance.average_precision)), share)
        if performance
        else (None, share)
        for performance, share in seen
    ]
    drift_state = DriftState()
    for observation in observations(better, kept):
        drift_state, assessment = assess(drift_state, observation, POLICY)
        assert assessment.state != DECAYED


@given(seen=days_seen, judged_performance=measured, by=st.floats(0, 1))
def test_more_drift_never_makes_a_model_less_decayed(
    seen: list[tuple[MeasuredPerformance | None, float]], judged_performance: MeasuredPerformance, by: float
) -> None:
    calm, moved = DriftState(), DriftState()
    with_more = [(performance, min(1.0, share + by)) for performance, share in seen]
    for less, more in zip(
        observations(seen, judged_performance), observations(with_more, judged_performance), strict=True
    ):
        calm, before = assess(calm, less, POLICY)
        moved, after = assess(moved, more, POLICY)
        assert after.state == DECAYED or before.state != DECAYED


@given(
    counts=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100)), min_size=1, max_size=40),
    judged=st.integers(0, 100),
)
def test_more_missed_frauds_never_make_a_model_less_decayed(counts: list[tuple[int, int]], judged: int) -> None:
    kept = MeasuredPerformance(average_precision=0.5, frauds=100)
    few, many = DriftState(), DriftState()
    baseline = MissedFrauds(frauds=judged, decisions=28_000)
    for (count, more), seen in zip(counts, observations([(kept, 0.0)] * len(counts), kept), strict=True):
        before, after = (
            structs.replace(seen, missed=MissedFrauds(frauds=frauds, decisions=28_000), judged_missed=baseline)
            for frauds in (count, count + more)
        )
        few, less = assess(few, before, POLICY)
        many, worse = assess(many, after, POLICY)
        assert worse.state == DECAYED or less.state != DECAYED
        assert less.state != DECAYED or count >= POLICY.without_drift.missed_ratio * judged


@given(seen=days_seen, judged_performance=st.none() | measured)
def test_a_decay_of_yesterday_neither_starts_a_retraining_nor_changes_the_first_day_of_a_decay(
    seen: list[tuple[MeasuredPerformance | None, float]], judged_performance: MeasuredPerformance | None
) -> None:
    kept, forgotten, decayed, certain = DriftState(), DriftState(), [], []
    for observation in observations(seen, judged_performance):
        kept, lasting = assess(kept, observation, POLICY)
        forgotten, of_today = assess(structs.replace(forgotten, is_decayed=False), observation, POLICY)
        assert lasting.retrain == of_today.retrain
        decayed += [observation.day] if lasting.state == DECAYED else []
        certain += [observation.day] if of_today.state == DECAYED else []
    assert set(certain) <= set(decayed)
    assert decayed[:1] == certain[:1]


@given(first=measured, second=measured, design_effect=st.floats(0.5, 5))
def test_a_loss_one_way_is_a_gain_the_other_way(
    first: MeasuredPerformance, second: MeasuredPerformance, design_effect: float
) -> None:
    there = standard_errors_lost(first, second, design_effect)
    assert there == -standard_errors_lost(second, first, design_effect)


names = st.sampled_from(FEATURE_NAMES)
changes = st.builds(NullShareChange, reference=st.floats(0, 1), current=st.floats(0, 1))
findings = st.tuples(st.dictionaries(names, st.text(), max_size=3), st.dictionaries(names, changes, max_size=3))


@given(seen=days_seen, found=st.data())
def test_findings_about_missing_values_change_neither_state_nor_retraining(
    seen: list[tuple[MeasuredPerformance | None, float]], found: st.DataObject
) -> None:
    without, having = DriftState(), DriftState()
    for observation in observations(seen, None):
        not_compared, null_share_changes = found.draw(findings)
        reported = structs.replace(observation, not_compared=not_compared, null_share_changes=null_share_changes)
        without, expected = assess(without, observation, POLICY)
        having, assessment = assess(having, reported, POLICY)
        assert having == without
        assert (assessment.state, assessment.retrain) == (expected.state, expected.retrain)
        assert assessment.reasons[: len(expected.reasons)] == expected.reasons
