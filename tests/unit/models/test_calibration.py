"""Calibration of margins: known curves are found again, and no two margins have the same probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from cardwatch.detector.calibration import Calibration
from models.calibration import MINIMUM_SLOPE, BetaCalibration, fit_beta_calibration, fit_calibration, fit_isotonic

Rows = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]


def logistic(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-log_odds))


def drawn(curve: BetaCalibration, count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    margins = random.normal(-2.0, 3.0, count).astype(np.float32)
    return margins, random.random(count) < logistic(curve.log_odds(margins.astype(np.float64)))


@st.composite
def labelled(draw: st.DrawFn) -> Rows:
    count = draw(st.integers(1, 60))
    margins = draw(st.lists(st.floats(-15, 15, width=32), min_size=count, max_size=count))
    is_fraud = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    weight = draw(st.lists(st.floats(0.5, 50, width=32), min_size=count, max_size=count))
    return np.array(margins, np.float32), np.array(is_fraud), np.array(weight, np.float32)


def test_the_curve_that_drew_the_labels_is_found_again() -> None:
    truth = BetaCalibration(intercept=-0.5, low=0.8, high=1.6)
    margins, is_fraud = drawn(truth, 200_000, seed=1)
    assert fit_beta_calibration(margins, is_fraud) == pytest.approx(truth, abs=0.05)


def test_it_is_a_logistic_regression_on_both_logarithms() -> None:
    margins, is_fraud = drawn(BetaCalibration(intercept=-1.0, low=1.2, high=0.7), 50_000, seed=2)
    score = logistic(margins.astype(np.float64))
    inputs = np.stack([np.log(score), -np.log(1.0 - score)], axis=1)
    theirs = LogisticRegression(C=1e9, tol=1e-10, max_iter=10_000).fit(inputs, is_fraud)
    # Ours has a penalty that pulls the slopes towards 1, which 50,000 rows outweigh.
    ours = fit_beta_calibration(margins, is_fraud)
    assert ours == pytest.approx((float(theirs.intercept_[0]), *theirs.coef_[0]), abs=0.01)


@pytest.mark.rubric("infra-2")
def test_probabilities_add_up_to_the_frauds() -> None:
    """The intercept has no penalty, so its derivative of the loss, the sum of all errors, is 0."""
    margins, is_fraud = drawn(BetaCalibration(intercept=1.0, low=1.0, high=1.0), 20_000, seed=3)
    assert fit_calibration(margins, is_fraud).apply(margins).sum() == pytest.approx(is_fraud.sum(), rel=2e-3)


def test_the_table_differs_from_the_curve_by_less_than_a_fifth_of_a_percent() -> None:
    curve = BetaCalibration(intercept=-0.3, low=1.1, high=0.9)
    margins = np.linspace(-20, 20, 100_001).astype(np.float32)
    exact = logistic(curve.log_odds(margins.astype(np.float64)))
    assert np.abs(curve.to_table().apply(margins) / exact - 1.0).max() < 2.5e-3


@given(rows=labelled(), others=st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=50))
def test_a_higher_margin_always_has_a_higher_probability_inside_0_and_1(rows: Rows, others: list[float]) -> None:
    table = fit_calibration(*rows)
    within = [margin for margin in others if table.margins[0] <= margin <= table.margins[-1]]
    distinct = np.unique(np.array([*within, *rows[0]], np.float32))
    distinct = distinct[np.diff(distinct, prepend=-np.inf) > 1e-3]  # nearer margins may round to one probability
    probabilities = table.apply(distinct)
    assert np.all((probabilities > 0.0) & (probabilities < 1.0))
    inside = (distinct >= table.margins[0]) & (distinct <= table.margins[-1])
    assert np.all(np.diff(probabilities[inside]) > 0.0)


@given(rows=labelled(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_has_no_influence(rows: Rows, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(rows[0]))
    assert fit_calibration(*rows) == fit_calibration(*(column[order] for column in rows))


@given(rows=labelled())
def test_a_weight_counts_like_repeated_rows(rows: Rows) -> None:
    margins, is_fraud, _ = rows
    times = np.arange(len(margins)) % 3 + 1
    weighted = fit_beta_calibration(margins, is_fraud, times.astype(np.float32))
    repeated = fit_beta_calibration(np.repeat(margins, times), np.repeat(is_fraud, times))
    assert weighted == pytest.approx(repeated, abs=1e-4, rel=1e-4)


def test_rows_without_fraud_get_the_rate_of_half_a_fraud_at_their_mean() -> None:
    table = fit_calibration(np.array([-6, -6, -6], np.float32), np.zeros(3, np.bool_))
    assert table.apply(np.array([-6], np.float32))[0] == pytest.approx(0.5 / 4, rel=2e-3)


def test_margins_that_say_the_opposite_still_rise() -> None:
    margins = np.linspace(-5, 5, 1_000).astype(np.float32)
    curve = fit_beta_calibration(margins, margins < 0)
    assert (curve.low, curve.high) == (MINIMUM_SLOPE, MINIMUM_SLOPE)


def test_margins_that_separate_fraud_perfectly_stay_finite() -> None:
    margins = np.linspace(-5, 5, 1_000).astype(np.float32)
    curve = fit_beta_calibration(margins, margins > 0)
    assert 1.0 < curve.low < 50.0
    assert 1.0 < curve.high < 50.0


def test_the_isotonic_fit_has_straight_lines_between_its_points() -> None:
    # Fraud 0 1 0 1 at margins 0 1 2 3: the middle two are pooled to 1/2. Four rows can show no less than 1/6,
    # two frauds no more than 3/4.
    table = fit_isotonic(np.array([0, 1, 2, 3], np.float32), np.array([False, True, False, True]))
    assert table.margins == [0.0, 1.0, 2.0, 3.0]
    assert table.probabilities == [1 / 6, 0.5, 0.5, 0.75]
    sample = np.array([-9.0, 0.0, 0.5, 1.5, 2.5, 3.0, 9.0], np.float32)
    assert table.apply(sample).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 3, 0.5, 0.625, 0.75, 0.75], abs=1e-15)


def test_the_isotonic_fit_without_any_fraud_gives_the_upper_bound_for_that_many_rows() -> None:
    table: Calibration = fit_isotonic(np.array([1, 1, 1], np.float32), np.zeros(3, np.bool_))
    assert table.apply(np.array([0, 1, 2], np.float32)).tolist() == [0.2, 0.2, 0.2]


def test_the_isotonic_fit_never_gives_a_riskier_margin_a_lower_probability() -> None:
    random = np.random.default_rng(7)
    margins = np.sort(random.normal(size=5_000)).astype(np.float32)
    table = fit_isotonic(margins, random.random(5_000) < 1 / (1 + np.exp(-margins)))
    sample = np.sort(np.concatenate([margins, random.uniform(-9, 9, 20_000).astype(np.float32)]))
    probabilities = table.apply(sample)
    assert np.all(np.diff(probabilities) >= 0)
    assert np.all((probabilities > 0) & (probabilities < 1))
