"""Performance that probabilities expect, against performance that is drawn from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from cardwatch.drift.estimated_performance import estimate_performance


def test_with_certain_probabilities_the_estimate_is_the_truth() -> None:
    estimate = estimate_performance(np.array([1.0, 0.0, 1.0, 0.0]))
    assert estimate is not None
    assert (estimate.average_precision, estimate.frauds) == (1.0, 2.0)


def test_equal_probabilities_expect_what_one_fraud_among_equals_finds() -> None:
    # Two rows of 0.5: a fraud at rank 1 has precision 1, one at rank 2 finds half a fraud above it: 1.5 / 2.
    estimate = estimate_performance(np.array([0.5, 0.5]))
    assert estimate is not None
    assert estimate.average_precision == pytest.approx((1.0 + 0.75) / 2)


def test_without_expected_fraud_there_is_no_estimate() -> None:
    assert estimate_performance(np.empty(0)) is None
    assert estimate_performance(np.zeros(5)) is None


def test_the_estimate_is_the_mean_performance_of_labels_drawn_from_the_probabilities() -> None:
    rng = np.random.default_rng(3)
    probabilities = np.concatenate([rng.beta(0.3, 60.0, 4_000), rng.uniform(0.2, 0.9, 60)])
    seen = [average_precision_score(rng.random(len(probabilities)) < probabilities, probabilities) for _ in range(300)]
    estimate = estimate_performance(probabilities)
    assert estimate is not None
    assert estimate.average_precision == pytest.approx(np.mean(seen), abs=0.02)
    assert estimate.frauds == pytest.approx(probabilities.sum())


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=50))
def test_an_estimate_is_a_proportion_and_does_not_depend_on_the_order(probabilities: list[float]) -> None:
    estimate = estimate_performance(np.array(probabilities))
    if estimate is None:
        assert sum(probabilities) == 0.0
        return
    assert 0.0 <= estimate.average_precision <= 1.0 + 1e-9
    assert estimate == estimate_performance(np.array(probabilities[::-1]))
