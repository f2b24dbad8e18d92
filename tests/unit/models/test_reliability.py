"""Measures of calibration, by hand and by scikit-learn, and the plot of them."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from models.reliability import (
    ReliabilityPoint,
    expected_calibration_error,
    measure_calibration,
    reliability_points,
)
from models.reliability_plot import reliability_svg

PROBABILITIES = np.array([0.1, 0.3, 0.6, 0.8])
IS_FRAUD = np.array([False, True, True, True])


def test_brier_score_and_log_loss_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    probabilities, weight = random.random(500), random.uniform(0.5, 4.0, 500)
    is_fraud = random.random(500) < probabilities
    measured = measure_calibration(probabilities, is_fraud, weight)
    assert measured.brier == pytest.approx(brier_score_loss(is_fraud, probabilities, sample_weight=weight))
    assert measured.log_loss == pytest.approx(log_loss(is_fraud, probabilities, sample_weight=weight))


def test_the_measures_of_four_rows() -> None:
    measured = measure_calibration(PROBABILITIES, IS_FRAUD)
    assert measured.brier == pytest.approx((0.01 + 0.49 + 0.16 + 0.04) / 4)
    assert measured.expected_to_observed == pytest.approx(1.8 / 3)
    # Ten bins for four rows: each row is alone.
    assert measured.expected_calibration_error == pytest.approx((0.1 + 0.7 + 0.4 + 0.2) / 4)
    assert measured.bins == 10


def test_the_calibration_error_of_two_bins_with_equal_weights() -> None:
    # Bins (0.1, 0.3) and (0.6, 0.8): |0.4 - 1| and |1.4 - 2| of four rows.
    assert expected_calibration_error(PROBABILITIES, IS_FRAUD, bins=2) == pytest.approx(1.2 / 4)
    # With weight 5 the first row is half of all ten: alone in its bin. |0.5 - 0| and |1.7 - 3| + ... of eight.
    weight = np.array([5.0, 1.0, 1.0, 1.0])
    expected = (5 * 0.1 + abs(0.3 + 0.6 + 0.8 - 3.0)) / 8
    assert expected_calibration_error(PROBABILITIES, IS_FRAUD, weight, bins=2) == pytest.approx(expected)


def test_equal_probabilities_share_a_bin() -> None:
    constant = np.full(100, 0.25)
    is_fraud = np.arange(100) % 4 == 0
    assert expected_calibration_error(constant, is_fraud) == 0.0
    assert len(reliability_points(constant, is_fraud)) == 1


def test_bins_of_the_plot_expect_equally_many_frauds() -> None:
    probabilities = np.concatenate([np.full(900, 0.001) + np.arange(900) * 1e-9, np.linspace(0.5, 0.6, 100)])
    points = reliability_points(probabilities, np.arange(1_000) >= 950, bins=5)
    assert len(points) == 5
    expected = [point.probability * point.weight for point in points]
    assert expected == pytest.approx([sum(expected) / 5] * 5, rel=0.1)
    assert sum(point.weight for point in points) == pytest.approx(1_000)


def test_the_interval_of_a_point_is_wilsons() -> None:
    # Wilson's interval of 5 successes in 10 trials: (p + z2/2n +- z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n), z = 1.96.
    [point] = reliability_points(np.full(10, 0.5), np.arange(10) < 5)
    assert point == pytest.approx(ReliabilityPoint(0.5, 0.5, 10.0, 0.2366, 0.7634), abs=1e-4)


def test_measures_without_fraud_are_numbers() -> None:
    measured = measure_calibration(np.array([0.1, 0.2]), np.zeros(2, np.bool_))
    assert measured.expected_to_observed == float("inf")
    assert measured.brier == pytest.approx(0.025)


def test_the_plot_has_a_mark_for_each_point_inside_its_axes() -> None:
    points = [ReliabilityPoint(1e-9, 0.0, 1e5, 0.0, 1e-5), ReliabilityPoint(0.5, 0.6, 100.0, 0.5, 0.69)]
    root = ElementTree.fromstring(reliability_svg(points, "a title"))  # noqa: S314 (our own text)
    circles = root.findall(".//{http://www.w3.org/2000/svg}circle")
    assert [float(circle.attrib["cx"]) for circle in circles] == [70.0, pytest.approx(449.9, abs=0.2)]
    assert float(circles[0].attrib["cy"]) == 430.0
    assert "a title" in reliability_svg(points, "a title")
