"""Rates of missed fraud: how many times as many, and how certain that is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.drift.missed_frauds import MissedFrauds, rate_ratio, standard_errors_risen


def missed(frauds: float, decisions: int = 10_000) -> MissedFrauds:
    return MissedFrauds(frauds=frauds, decisions=decisions)


rates = st.builds(missed, st.floats(0, 1_000), st.integers(1, 1_000_000))


def test_a_rate_is_per_ten_thousand_decisions() -> None:
    assert missed(40, 20_000).per_10000 == 20.0
    assert missed(0).per_10000 == 0.0


def test_rates_are_compared_and_not_counts() -> None:
    assert rate_ratio(missed(20), missed(60)) == 3.0
    assert rate_ratio(missed(20), missed(60, 30_000)) == 1.0


def test_a_rise_from_none_is_infinite_and_none_is_no_rise() -> None:
    assert rate_ratio(missed(0), missed(1)) == math.inf
    assert rate_ratio(missed(0), missed(0)) == 1.0


def test_the_error_is_that_of_two_square_roots() -> None:
    # With 3/8 more the counts are 16 and 36; their roots, 4 and 6, have a variance of 1/4 each.
    before, now = missed(15.625), missed(35.625)
    assert standard_errors_risen(before, now, 1.0) == pytest.approx(2 / math.sqrt(1 / 2))
    assert standard_errors_risen(before, now, 4.0) == pytest.approx(1 / math.sqrt(1 / 2))
    # Over four times as many decisions the roots of the rates are half as large, and so is the error of this one.
    longer = missed(4 * 36 - 3 / 8, 40_000)
    assert standard_errors_risen(before, longer, 1.0) == pytest.approx(2 / math.sqrt(1 / 4 + 1 / 16))


@given(first=rates, second=rates, design_effect=st.floats(0.5, 5))
def test_a_rise_one_way_is_a_fall_the_other_way(
    first: MissedFrauds, second: MissedFrauds, design_effect: float
) -> None:
    risen = standard_errors_risen(first, second, design_effect)
    assert risen == pytest.approx(-standard_errors_risen(second, first, design_effect))


@given(before=rates, now=rates, more=st.floats(0, 100))
def test_more_missed_frauds_are_never_a_smaller_rise(before: MissedFrauds, now: MissedFrauds, more: float) -> None:
    worse = missed(now.frauds + more, now.decisions)
    assert rate_ratio(before, worse) >= rate_ratio(before, now)
    assert standard_errors_risen(before, worse, 2.0) >= standard_errors_risen(before, now, 2.0)
