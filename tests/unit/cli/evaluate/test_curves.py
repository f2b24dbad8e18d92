"""The curves of a report, each against its definition, row by row; and the calibration of other models' scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.evaluate.curves import (
    ALERT_SHARES,
    RECALLS,
    calibration_curve,
    mean_curve,
    precisions_at_recalls,
    relative_costs,
)
from cli.evaluate.scored_fold import calibrated
from models.wilson import wilson_interval

ROWS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30)


@given(rows=ROWS)
def test_precision_at_a_recall_is_that_of_the_highest_threshold_that_reaches_it(rows: list[tuple[int, bool]]) -> None:
    scores, is_fraud = (np.array(column) for column in zip(*rows, strict=True))
    precisions = precisions_at_recalls(scores.astype(np.float64), is_fraud)
    if not is_fraud.any():
        assert np.isnan(precisions).all()
        return
    for recall, precision in zip(RECALLS, precisions, strict=True):
        for threshold in sorted(set(scores.tolist()), reverse=True):
            alerts = scores >= threshold
            if is_fraud[alerts].sum() / is_fraud.sum() >= recall - 1e-9:
                assert precision == pytest.approx(is_fraud[alerts].mean())
                break


def test_costs_of_alerts_are_counted_by_hand() -> None:
    # By score: a fraud of 100, a genuine row, a fraud of 50. An alert stops all fraud and costs 10 on a genuine row.
    scores, approving, alerting = np.array([3.0, 2.0, 1.0]), np.array([100.0, 0.0, 50.0]), np.array([0.0, 10.0, 0.0])
    costs = relative_costs(scores, alerting, approving)
    assert costs is not None
    of_share = dict(zip(ALERT_SHARES.round(6).tolist(), costs, strict=True))
    assert of_share[0.0] == 1.0
    assert of_share[1.0] == pytest.approx(10 / 150)
    # A third of the rows is one alert, two thirds are two; between the points the line is straight.
    assert np.interp(1 / 3, ALERT_SHARES, costs) == pytest.approx(50 / 150, abs=0.01)
    assert np.interp(2 / 3, ALERT_SHARES, costs) == pytest.approx(60 / 150, abs=0.01)
    assert relative_costs(scores, alerting, np.zeros(3)) is None


def test_rows_of_equal_scores_save_evenly() -> None:
    costs = relative_costs(np.zeros(4), np.zeros(4), np.array([100.0, 0.0, 0.0, 0.0]))
    assert costs is not None
    np.testing.assert_allclose(costs, 1 - ALERT_SHARES)


def test_calibration_counts_every_row_in_one_bin() -> None:
    random = np.random.default_rng(1)
    probabilities = np.append(random.random(500) ** 3, [0.0, 0.001, 1.0])
    is_fraud = random.random(503) < probabilities
    bins = calibration_curve(probabilities, is_fraud)
    assert (sum(found.rows for found in bins), sum(found.frauds for found in bins)) == (503, is_fraud.sum())
    assert all(found.low <= found.observed <= found.high for found in bins)
    assert [found.predicted for found in bins] == sorted(found.predicted for found in bins)


def test_wilsons_interval_has_the_published_ends() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_a_fold_without_a_value_does_not_count_in_a_mean() -> None:
    means = mean_curve([np.array([1.0, np.nan, np.nan]), np.array([3.0, 5.0, np.nan])])
    np.testing.assert_array_equal(means, [2.0, 5.0, np.nan])


SCORES = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20)


@given(train=SCORES, test=SCORES, seed=st.integers(0, 3), at=st.integers(0, 19))
def test_a_row_is_calibrated_by_the_training_rows_and_its_own_score_alone(
    train: list[float], test: list[float], seed: int, at: int
) -> None:
    known_fraud = np.random.default_rng(seed).random(len(train)) < 0.5
    scores = np.array(test)
    found = calibrated(np.array(train), known_fraud, scores)
    assert ((found > 0) & (found < 1)).all()
    assert (np.diff(found[np.argsort(scores, kind="stable")]) >= 0).all()
    at %= len(test)
    alone = calibrated(np.array(train), known_fraud, scores[at : at + 1])
    assert alone[0] == found[at]


def test_scores_of_any_scale_are_calibrated_alike() -> None:
    random = np.random.default_rng(2)
    scores = random.random(200)
    is_fraud = random.random(200) < scores
    reference = calibrated(scores, is_fraud, scores)
    for scale in (1e-30, 1e-3, 1e11):
        np.testing.assert_array_equal(calibrated(scores * scale, is_fraud, scores * scale), reference)
