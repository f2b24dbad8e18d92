"""Size and certainty of a loss of average precision."""

import pytest

from cardwatch.drift.performance import MeasuredPerformance, relative_loss, standard_errors_lost

GOOD = MeasuredPerformance(average_precision=0.6, frauds=100)
LESS = MeasuredPerformance(average_precision=0.5, frauds=100)


def test_a_loss_is_measured_against_the_baseline() -> None:
    assert relative_loss(GOOD, MeasuredPerformance(average_precision=0.45, frauds=1)) == pytest.approx(0.25)
    assert relative_loss(GOOD, MeasuredPerformance(average_precision=0.75, frauds=1)) == pytest.approx(-0.25)
    assert relative_loss(MeasuredPerformance(average_precision=0.0, frauds=9), GOOD) == 0.0


def test_the_error_of_a_loss_is_that_of_two_proportions() -> None:
    baseline, current = (
        MeasuredPerformance(average_precision=0.5, frauds=50),
        MeasuredPerformance(average_precision=0.4, frauds=48),
    )
    # 0.25 / 50 = 0.005 and 0.24 / 48 = 0.005: the root of their sum is 0.1
    assert standard_errors_lost(baseline, current, 1.0) == pytest.approx(1.0)
    assert standard_errors_lost(current, baseline, 1.0) == pytest.approx(-1.0)
    assert standard_errors_lost(baseline, current, 4.0) == pytest.approx(0.5)


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_extreme_proportions_have_a_positive_standard_error(extreme: float) -> None:
    certain = MeasuredPerformance(average_precision=extreme, frauds=98)
    # the proportion is limited to 0.01 and 0.99: sqrt(2 * 0.01 * 0.99 / 98) = 0.0142
    assert abs(standard_errors_lost(certain, LESS, 1.0)) < 0.5 / 0.0142
