"""Metrics on weighted rows, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from cardwatch.promotion.score_quality import (
    average_precision,
    brier_score,
    expected_calibration_error,
    recall_at_false_positive_rate,
    roc_auc,
)


def test_average_precision_is_that_of_scikit_learn_also_with_ties_and_weights() -> None:
    random = np.random.default_rng(5)
    for _ in range(50):
        scores, is_fraud, weight = random.integers(0, 6, 30), random.random(30) < 0.3, random.integers(1, 4, 30)
        is_fraud[0] = True
        assert average_precision(scores.astype(np.float64), is_fraud, weight.astype(np.float64)) == pytest.approx(
            average_precision_score(is_fraud, scores, sample_weight=weight)
        )


def test_the_area_under_the_roc_curve_is_that_of_scikit_learn_also_with_ties_and_weights() -> None:
    random = np.random.default_rng(6)
    for _ in range(50):
        scores, is_fraud, weight = random.integers(0, 6, 30), random.random(30) < 0.3, random.integers(1, 4, 30)
        is_fraud[:2] = True, False
        assert roc_auc(scores.astype(np.float64), is_fraud, weight.astype(np.float64)) == pytest.approx(
            roc_auc_score(is_fraud, scores, sample_weight=weight)
        )


def test_rounding_does_not_lift_a_perfect_order_above_1() -> None:
    random = np.random.default_rng(7)
    for _ in range(200):
        rows = int(random.integers(10, 200))
        is_fraud, weight = np.arange(rows) < rows // 3, 1.0 / random.uniform(0.01, 1.0, rows)
        assert roc_auc(-np.arange(rows, dtype=np.float64), is_fraud, weight) == pytest.approx(1.0)
        assert roc_auc(-np.arange(rows, dtype=np.float64), is_fraud, weight) <= 1.0
        assert average_precision(-np.arange(rows, dtype=np.float64), is_fraud, weight) <= 1.0


def test_the_area_under_the_roc_curve_counts_pairs_in_order_and_ties_half() -> None:
    # The fraud with 0.9 is above both genuine rows, that with 0.5 equals one and is above none: 2.5 of 4 pairs.
    scores, is_fraud = np.array([0.9, 0.8, 0.5, 0.5]), np.array([True, False, True, False])
    assert roc_auc(scores, is_fraud, np.ones(4)) == pytest.approx(2.5 / 4)


def test_ranking_of_one_class_is_unknown() -> None:
    for fraud in (True, False):
        assert roc_auc(np.ones(3), np.full(3, fraud), np.ones(3)) is None
    assert average_precision(np.ones(3), np.zeros(3, np.bool_), np.ones(3)) is None


def test_the_brier_score_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(3)
    probabilities, is_fraud, weight = random.random(50), random.random(50) < 0.3, random.random(50) + 0.1

    assert brier_score(probabilities, is_fraud, weight) == pytest.approx(
        brier_score_loss(is_fraud, probabilities, sample_weight=weight)
    )


def test_recall_counts_fraud_above_the_allowed_false_positives() -> None:
    # Of four genuine rows one may be a false positive: the threshold 0.6 finds two of three frauds.
    scores = np.array([0.9, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2])
    is_fraud = np.array([True, False, True, False, True, False, False])

    assert recall_at_false_positive_rate(scores, is_fraud, np.ones(7), 0.25) == pytest.approx(2 / 3)
    assert recall_at_false_positive_rate(scores, np.zeros(7, np.bool_), np.ones(7), 0.25) is None


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    # Two bins of two rows: probability 0.1 where nothing happens, and 0.5 where one of two is fraud.
    probabilities, is_fraud = np.array([0.1, 0.1, 0.5, 0.5]), np.array([False, False, True, False])

    assert expected_calibration_error(probabilities, is_fraud, np.ones(4), bins=2) == pytest.approx(0.05)


def test_certain_and_right_probabilities_have_no_calibration_error() -> None:
    is_fraud = np.array([True, False, False])

    assert expected_calibration_error(is_fraud.astype(np.float64), is_fraud, np.ones(3)) == 0.0
