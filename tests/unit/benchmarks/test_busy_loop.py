"""How long work would wait that arrives while a busy loop is interrupted."""

from __future__ import annotations

import pytest

from benchmarks.busy_loop import interruptions_ns, waiting_ns


@pytest.mark.parametrize(
    ("interruptions", "quantile", "expected"),
    [
        ([], 0.99, 0.0),
        ([100], 0.9, 0.0),  # one moment in ten lies in the interruption
        ([100], 0.95, 50.0),
        ([100, 300], 0.9, 200.0),
        ([100, 300], 0.7, 50.0),  # 250 moments of the longer one and 50 of the other
        ([200, 200], 0.9, 150.0),
    ],
)
def test_the_quantile_of_the_waiting_time_at_random_moments(
    interruptions: list[int], quantile: float, expected: float
) -> None:
    assert waiting_ns(interruptions, 1_000, quantile) == pytest.approx(expected)


def test_a_loop_records_interruptions_within_its_time() -> None:
    found = interruptions_ns(0.05)
    assert all(each > 20_000 for each in found)
