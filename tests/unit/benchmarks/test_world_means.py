"""Means over worlds."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.world_means import estimate


def test_intervals_are_those_of_student() -> None:
    found = estimate([1.0, 3.0])  # standard error 1, and 12.706 for one degree of freedom
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0 - 12.706, 2.0 + 12.706), abs=1e-3)
    assert found.shown(".1f") == "2.0 (-10.7 to 14.7)"
    assert np.isnan(estimate([4.0]).low)
