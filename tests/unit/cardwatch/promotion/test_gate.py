"""The promotion gate: each requirement, and the sentence with which it fails."""

from datetime import timedelta

import numpy as np
import pytest
from msgspec.structs import replace

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.promotion.evidence import Evidence, FeatureParity, JudgedCoverage, JudgedInputs, ScoringTime
from cardwatch.promotion.gate import judge
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.verdict import VerdictReport
from tests.judged_evidence import CHALLENGE, DECLINE, evidence, inputs, model

POLICY = PromotionPolicy()
PERFECTION_ALLOWED = replace(POLICY, maximum_average_precision=1.0)
COSTS = DecisionPolicy()


def judged(
    rows: Evidence, facts: JudgedInputs | None = None, policy: PromotionPolicy = POLICY, resamples: int = 999
) -> VerdictReport:
    return judge(rows, facts or inputs(rows), decision=COSTS, promotion=policy, resamples=resamples)


def failed(report: VerdictReport) -> list[str]:
    return [reason for reason in report.verdict.reasons if reason.startswith("FAILED")]


def test_a_challenger_that_halves_the_cost_is_promoted() -> None:
    report = judged(evidence())

    assert report.verdict.promoted, report.verdict.reasons
    # Of 60 frauds of EUR 50 the champion misses about 30, and the challenger about 6.
    assert report.saving is not None
    assert report.saving.saving == pytest.approx(0.8, abs=0.15)
    assert report.verdict.reasons[0] == (
        "judged on days 2025-03-03 to 2025-03-09; the challenger was trained on days before 2025-03-03, the champion "
        "(version 1) on days before 2025-02-01"
    )


def test_the_same_model_is_not_promoted() -> None:
    rows = evidence()
    report = judged(replace(rows, champion=rows.challenger))

    assert not report.verdict.promoted
    assert any(reason.startswith("FAILED: saves 0.0 % of the champion's cost") for reason in report.verdict.reasons)


def test_the_cost_is_that_of_the_decisions_under_the_labels() -> None:
    rows = evidence(champion_misses=1.0, challenger_misses=0.0)
    report = judged(rows)

    assert report.champion is not None
    assert report.champion.cost_minor == 60 * 5_000  # it approves all fraud
    assert report.challenger.cost_minor == 0  # it declines fraud, and nothing else
    assert report.saving is not None
    assert (report.saving.saving, report.saving.lower_bound) == (1.0, 1.0)


def test_a_row_counts_as_often_as_its_weight_says() -> None:
    rows = evidence(champion_misses=1.0, challenger_misses=0.0)
    report = judged(replace(rows, weight=np.full(len(rows.days), 3.0)))

    assert report.champion is not None
    assert report.champion.cost_minor == 3 * 60 * 5_000
    assert report.challenger.weighted_frauds == 180


def test_without_a_champion_only_the_checks_of_the_challenger_alone_apply() -> None:
    report = judged(replace(evidence(), champion=None))

    assert report.verdict.promoted, report.verdict.reasons
    assert (report.champion, report.saving, report.slices) == (None, None, [])
    assert not any("champion's" in reason for reason in report.verdict.reasons)


@pytest.mark.rubric("infra-4")
@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ({"minimum_rows": 1_201}, "judged on 1,200 transactions, at least 1,201 are needed"),
        ({"minimum_frauds": 61}, "judged on 60 frauds, at least 61 are needed"),
        ({"minimum_days": 8}, "judged on 7 days, at least 8 are needed"),
        ({"minimum_average_precision": 1.0}, "average precision"),
        ({"maximum_average_precision": 0.5}, "above 0.500 the features would be suspected of knowing the labels"),
        ({"calibration_factor": 1.0}, "frauds where 60 happened"),
        ({"minimum_gain": 0.9}, "more than 90.0 % is needed"),
        ({"minimum_differing_cards": 600}, "at least 600 are needed"),
        ({"minimum_gain_over_baselines": 1.0}, "a saving of 100.0 % must be possible"),
        ({"maximum_alerts_per_day": 7.0}, "alerts a day, 7 can be checked"),
    ],
)
def test_one_missed_requirement_is_enough_to_fail_and_is_named(policy: dict[str, float], sentence: str) -> None:
    report = judged(evidence(), policy=replace(POLICY, **policy))

    assert not report.verdict.promoted
    assert len(failed(report)) == 1
    assert sentence in failed(report)[0]


def test_a_challenger_whose_alerts_are_hardly_ever_fraud_is_refused() -> None:
    # Of 1,140 genuine payments it challenges 1,000, which costs 1 euro each; it finds 60 frauds of 50 euros.
    rows = evidence(champion_misses=1.0, challenger_misses=0.0)
    actions = rows.challenger.actions.copy()
    actions[np.flatnonzero(~rows.is_fraud)[:1_000]] = CHALLENGE
    rows = replace(rows, challenger=replace(rows.challenger, actions=actions))
    report = judged(rows, policy=replace(PERFECTION_ALLOWED, minimum_alert_precision=0.06))

    assert [reason.partition(": ")[2] for reason in failed(report)] == [
        "1,060 alerts, 5.7 % of them fraud against the champion's 0; at least 6.0 % must be fraud"
    ]
    assert judged(rows, policy=PERFECTION_ALLOWED).verdict.promoted


def test_a_challenger_may_raise_many_times_the_alerts_of_a_champion_that_finds_nothing() -> None:
    report = judged(evidence(champion_misses=0.95, challenger_misses=0.0), policy=PERFECTION_ALLOWED)

    assert report.champion is not None
    assert report.challenger.alerts > 10 * report.champion.alerts
    assert report.verdict.promoted, report.verdict.reasons


def test_declined_transactions_without_an_outcome_count_as_alerts_of_a_day() -> None:
    # 60 alerts in 7 days are 8.6 a day; with 10 unknown ones, 10.
    rows = evidence(challenger_misses=0.0)
    facts = inputs(rows, label_coverage=JudgedCoverage(transactions=1_210, judged=1_200, frauds=60))

    policy = replace(PERFECTION_ALLOWED, maximum_alerts_per_day=9.0)

    assert judged(rows, policy=policy).verdict.promoted
    assert failed(judged(rows, facts, policy)) == ["FAILED: at most 10.0 alerts a day, 9 can be checked"]


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            {"feature_parity": FeatureParity(rows=50, differing=2, features=["amount", "count_1h"])},
            "2 of 50 decisions recorded other features than the replay gives: amount, count_1h",
        ),
        (
            {"scoring_time": ScoringTime(challenger_us=61.0, champion_us=20.0)},
            "scores a transaction in 61.0 µs against the champion's 20.0 µs",
        ),
    ],
)
def test_facts_about_the_origin_of_the_rows_are_requirements(facts: dict[str, object], sentence: str) -> None:
    rows = evidence()
    report = judged(rows, inputs(rows, **facts))

    assert not report.verdict.promoted
    assert [sentence in reason for reason in failed(report)] == [True]


def test_a_row_that_is_scored_fast_enough_may_take_any_multiple_of_the_champions_time() -> None:
    rows = evidence()

    assert judged(rows, inputs(rows, scoring_time=ScoringTime(challenger_us=49.0, champion_us=1.0))).verdict.promoted


def test_days_that_were_left_out_and_unknown_outcomes_are_said() -> None:
    rows = evidence()
    first, until = inputs(rows).judged_from, inputs(rows).judged_until
    outside, inside = first - timedelta(days=1), until + timedelta(days=1)
    facts = inputs(
        rows,
        judged_until=until + timedelta(days=2),
        excluded_days=[inside, outside],
        label_coverage=JudgedCoverage(transactions=1_210, judged=1_200, frauds=60),
        feature_parity=FeatureParity(rows=0, differing=0, features=[]),
    )
    report = judged(rows, facts)
    reasons = report.verdict.reasons

    assert report.excluded_days == [inside]
    assert f"passed: judged on 7 days ({inside} left out as quarantined), at least 7 are needed" in reasons
    assert "noted: 10 of the 1,210 transactions of these days have no known outcome and were not judged" in reasons
    assert "noted: no decision of these days recorded features to compare the replayed ones with" in reasons


@pytest.mark.rubric("model-6")
def test_a_slice_with_enough_frauds_must_not_cost_more_by_the_margin() -> None:
    # The challenger finds all fraud on the chip, and none at cash machines, where the champion finds all.
    rows = evidence(cards=1_000, frauds=400, champion_misses=0.9, challenger_misses=0.0)
    assert rows.champion is not None
    at_machines = rows.slices["channel"] == "atm"
    worse = np.where(at_machines, 0, rows.challenger.actions).astype(np.int8)
    better = np.where(at_machines & rows.is_fraud, DECLINE, rows.champion.actions).astype(np.int8)
    rows = replace(
        rows, challenger=replace(rows.challenger, actions=worse), champion=replace(rows.champion, actions=better)
    )
    report = judged(rows, policy=replace(POLICY, minimum_gain=-10.0, maximum_average_precision=1.0))

    assert [reason.partition(":")[2] for reason in failed(report)] == [
        " slice channel atm: costs 100.0 % of its fraud more than the champion, with 95% confidence at most 100.0 %; "
        "at most 10.0 % is allowed (200 frauds)"
    ]


def test_a_slice_with_few_frauds_is_reported_and_not_required() -> None:
    rows = evidence()
    report = judged(rows)

    assert [(each.name, each.frauds, each.required) for each in report.slices] == [
        ("atm", 30, False),
        ("chip", 30, False),
    ]
    assert "noted: 2 slices have fewer than 100 frauds and are reported only" in report.verdict.reasons


def test_the_verdict_says_what_could_have_been_found() -> None:
    rows = evidence()
    assert any("would have been found with 80 % probability" in reason for reason in judged(rows).verdict.reasons)

    # One card differs: no saving could have been shown.
    assert rows.champion is not None
    one = rows.champion.actions.copy()
    one[1199] = CHALLENGE
    few = replace(rows, challenger=model(one, rows.champion.probabilities), champion=rows.champion)
    reasons = judged(few).verdict.reasons
    assert any(reason.startswith("FAILED: the costs differ for 1 cards") for reason in reasons)


@pytest.mark.rubric("model-5")
def test_a_challenger_that_decides_as_a_baseline_is_refused() -> None:
    rows = evidence()
    report = judged(replace(rows, champion=None, baselines={"rules": rows.challenger.actions}))

    assert [reason.partition(": ")[2] for reason in failed(report)] == [
        "saves 0.0 % of the cost of the baseline rules, with 95% confidence at most 0.0 %; a saving of 5.0 % must be "
        "possible"
    ]


def test_a_first_model_whose_cost_is_above_that_of_a_baseline_by_chance_passes() -> None:
    # The baseline misses other frauds than the challenger, and one less.
    rows = evidence(challenger_misses=0.2)
    missed = np.flatnonzero(rows.is_fraud & (rows.challenger.actions != DECLINE))
    found = np.flatnonzero(rows.is_fraud & (rows.challenger.actions == DECLINE))
    baseline = rows.challenger.actions.copy()
    baseline[missed], baseline[found[: len(missed) - 1]] = DECLINE, 0
    report = judged(replace(rows, champion=None, baselines={"rules": baseline}))

    saving = report.baselines["rules"].saving
    assert saving is not None
    assert saving < 0
    assert report.verdict.promoted, report.verdict.reasons


def test_no_rows_are_an_error() -> None:
    rows = evidence()
    with pytest.raises(ValueError, match="no rows"):
        judged(rows.at(np.arange(0)), inputs(rows))


def test_a_week_without_fraud_fails_and_does_not_raise() -> None:
    rows = evidence(frauds=0)

    assert not judged(rows).verdict.promoted
    assert not judged(replace(rows, champion=None)).verdict.promoted
