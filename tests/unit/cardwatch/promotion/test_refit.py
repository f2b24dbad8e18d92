"""The promoted challenger fitted again: when it takes the place of the judged model, and what the verdict says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.promotion.evidence import Evidence
from cardwatch.promotion.gate import judge
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.refit import compare_refit, with_refit
from tests.judged_evidence import APPROVE, DECLINE, evidence, inputs, model

COSTS = DecisionPolicy()
POLICY = PromotionPolicy()


def refitted(rows: Evidence, missed: int) -> Evidence:
    """A model fitted again that misses this many of the 60 frauds of EUR 50, and declines nothing else."""
    actions = np.where(rows.is_fraud, DECLINE, APPROVE)
    actions[np.flatnonzero(rows.is_fraud)[:missed]] = APPROVE
    return replace(rows, refit=model(actions, np.where(actions == DECLINE, 0.9, 0.005)))


def judged_misses(rows: Evidence) -> int:
    return int((rows.challenger.actions[rows.is_fraud] == APPROVE).sum())


def test_a_model_that_costs_as_much_as_the_judged_one_takes_its_place() -> None:
    rows = evidence(challenger_misses=0.2)
    missed = judged_misses(rows)
    again = refitted(rows, missed)
    assert again.refit is not None
    result = compare_refit(again, again.refit, decision=COSTS, promotion=POLICY)
    # A fraud that is declined costs nothing, one that is approved its amount.
    assert (result.judged_cost_minor, result.cost_minor, result.passed) == (5_000 * missed, 5_000 * missed, True)


@pytest.mark.parametrize(("missed", "passed"), [(20, True), (21, True), (22, False)])
def test_at_most_a_twentieth_more_cost_is_allowed(missed: int, passed: bool) -> None:
    rows = evidence()
    declines = np.where(rows.is_fraud, DECLINE, APPROVE)
    declines[np.flatnonzero(rows.is_fraud)[:20]] = APPROVE
    again = refitted(replace(rows, challenger=model(declines, np.full(len(declines), 0.1))), missed)
    assert again.refit is not None
    assert compare_refit(again, again.refit, decision=COSTS, promotion=POLICY).passed is passed  # 21 are 20 x 1.05


def test_rows_count_with_their_weights() -> None:
    rows = evidence()
    doubled = refitted(replace(rows, weight=np.full(len(rows.days), 2.0)), 3)
    assert doubled.refit is not None
    assert compare_refit(doubled, doubled.refit, decision=COSTS, promotion=POLICY).cost_minor == 2 * 3 * 5_000


def test_the_order_of_the_rows_has_no_influence_on_the_last_bit() -> None:
    rows = evidence()
    uneven = replace(rows, weight=np.random.default_rng(1).random(len(rows.days)) + 0.1)
    again = refitted(uneven, 60)
    results = set()
    for seed in range(20):
        shuffled = again.at(np.random.default_rng(seed).permutation(len(rows.days)))
        assert shuffled.refit is not None
        results.add(compare_refit(shuffled, shuffled.refit, decision=COSTS, promotion=POLICY).cost_minor)
    assert len(results) == 1


def test_the_verdict_says_which_model_is_registered() -> None:
    better, worse = (
        judge(
            refitted(evidence(), missed), inputs(evidence()), decision=COSTS, promotion=POLICY, resamples=199
        ).verdict.reasons[-1]
        for missed in (0, 60)
    )
    assert better.startswith("noted: fitted again with the judged days, the model costs 0 there on cards")
    assert better.endswith(": the one that was fitted again is registered")
    assert worse.endswith("which is more than 1.05 times as much: the judged one is registered")


def test_a_challenger_that_was_not_fitted_again_has_no_such_sentence() -> None:
    report = judge(evidence(), inputs(evidence()), decision=COSTS, promotion=POLICY, resamples=199)
    assert report.refit is None
    assert with_refit(report, evidence(), decision=COSTS, promotion=POLICY) == report


@given(st.integers(0, 60), st.integers(0, 5))
def test_the_verdict_is_the_same_with_and_without_the_model_fitted_again(missed: int, seed: int) -> None:
    """It is computed before that model exists, and checked later with its scores among the rows."""
    rows = evidence(seed=seed, cards=100)
    before = judge(rows, inputs(rows), decision=COSTS, promotion=POLICY, resamples=49)
    again = refitted(rows, missed)
    after = judge(again, inputs(rows), decision=COSTS, promotion=POLICY, resamples=49)
    assert with_refit(before, again, decision=COSTS, promotion=POLICY) == after
    assert after.verdict.promoted is before.verdict.promoted
