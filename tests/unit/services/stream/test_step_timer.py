"""The budget of a batch, on a clock that is set by hand."""

from __future__ import annotations

import pytest

from services.stream.step_timer import StepTimer


def test_each_step_gets_the_time_of_its_block() -> None:
    moments = iter([10.0, 10.001, 10.004, 10.007])
    steps: list[tuple[str, float]] = []
    timer = StepTimer(lambda: next(moments), on_step=lambda name, seconds: steps.append((name, round(seconds, 6))))
    with timer.step("fold"):
        pass
    with timer.step("score"):
        pass
    assert timer.report() == "fold 1.0 (p99 1.0), score 3.0 (p99 3.0)"
    assert steps == [("fold", 0.001), ("score", 0.003)]


def test_a_step_that_fails_is_not_measured() -> None:
    timer = StepTimer(lambda: 10.0)
    with pytest.raises(RuntimeError), timer.step("commit"):
        raise RuntimeError
    assert timer.report() == "no batch"
