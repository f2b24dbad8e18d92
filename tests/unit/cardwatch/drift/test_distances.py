"""Distances between samples, by hand and by scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import distance
from scipy.stats import wasserstein_distance

from cardwatch.drift.distances import jensen_shannon, normed_wasserstein

SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50).map(lambda values: np.sort(np.array(values)))
CODES = st.lists(st.integers(0, 5), min_size=1, max_size=50).map(lambda codes: np.array(codes, np.float64))
Values = NDArray[np.float64]


def test_a_shift_is_measured_in_standard_deviations_of_the_reference() -> None:
    reference = np.array([0.0, 2.0])  # standard deviation 1
    assert normed_wasserstein(reference, reference + 0.5) == pytest.approx(0.5)
    assert normed_wasserstein(reference + 0.5, np.sort(-reference)) == pytest.approx(2.5)


def test_a_constant_reference_is_divided_by_the_least_deviation() -> None:
    assert normed_wasserstein(np.array([1.0]), np.array([1.0, 1.0])) == 0.0
    assert normed_wasserstein(np.array([1.0]), np.array([3.0])) == pytest.approx(2.0 / 0.001)


def test_codes_without_a_common_value_are_as_far_apart_as_possible() -> None:
    assert jensen_shannon(np.array([1.0, 2.0]), np.array([3.0])) == pytest.approx(np.sqrt(np.log(2)))


@given(SAMPLES, SAMPLES)
def test_the_wasserstein_distance_is_that_of_scipy(reference: Values, current: Values) -> None:
    expected = wasserstein_distance(reference, current) / max(float(np.std(reference)), 0.001)
    assert normed_wasserstein(reference, current) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(CODES, CODES)
def test_the_jensen_shannon_distance_is_that_of_scipy(reference: Values, current: Values) -> None:
    shares = [np.bincount(codes.astype(int), minlength=6) / len(codes) for codes in (reference, current)]
    assert jensen_shannon(reference, current) == pytest.approx(float(distance.jensenshannon(*shares)), abs=1e-7)
