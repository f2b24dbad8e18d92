"""What is usual of a column, from distances that are known: a week's only value, and the distance of two values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cardwatch.drift.usual_change import LEAST_THRESHOLD, NOTHING_USUAL, UsualChange, usual_change

Values = NDArray[np.float64]


def between(first: Values, second: Values) -> float:
    return abs(float(first[0]) - float(second[0]))


def usual(*weeks: float) -> UsualChange:
    return usual_change([np.array([week]) for week in weeks], between)


def test_steady_growth_is_found() -> None:
    """Neighbours are 0.2 apart, and the first and the third of three weeks 0.4: 0.2 more than neighbours."""
    found = usual(1.0, 1.2, 1.4, 1.6)
    assert (found.between_weeks, found.per_week) == (pytest.approx(0.2), pytest.approx(0.2))


def test_noise_is_no_growth() -> None:
    found = usual(1.0, 1.2, 1.0, 1.2)
    assert (found.between_weeks, found.per_week) == (pytest.approx(0.2), 0.0)


@pytest.mark.parametrize("weeks", [(1.0, 9.0, 9.1, 9.0), (1.0, 1.1, 9.0, 9.1), (1.0, 1.1, 1.0, 9.0)])
def test_one_change_within_the_weeks_does_not_count_as_usual(weeks: tuple[float, ...]) -> None:
    found = usual(*weeks)
    assert found.between_weeks == pytest.approx(0.1)
    assert found.per_week == pytest.approx(0.0, abs=0.11)  # what it grows by besides the change


def test_fewer_than_three_weeks_show_nothing_usual() -> None:
    assert usual(1.0, 5.0) == usual() == NOTHING_USUAL


def test_without_anything_usual_the_least_threshold_applies_at_any_time() -> None:
    assert {NOTHING_USUAL.threshold(weeks) for weeks in (0.1, 1, 50)} == {LEAST_THRESHOLD}
    assert NOTHING_USUAL.threshold(1, least=0.3) == 0.3


@given(st.lists(st.floats(0, 100), max_size=8), st.floats(0, 20), st.floats(0, 20))
def test_a_threshold_is_never_below_the_least_one_and_never_falls_with_time(
    weeks: list[float], early: float, later: float
) -> None:
    found = usual(*weeks)
    early, later = sorted((early, later))
    assert LEAST_THRESHOLD <= found.threshold(early) <= found.threshold(later)
