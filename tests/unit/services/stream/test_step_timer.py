"""The budget of a batch, on a clock that is set by hand."""

from __future__ import annotations

from services.stream.step_timer import StepTimer


def test_each_step_gets_the_time_since_the_end_of_the_previous_one() -> None:
    moments = iter([10.0, 10.001, 10.004])
    watch = StepTimer(lambda: next(moments))
    watch.start()
    watch.end_step("fold")
    watch.end_step("score")
    assert watch.report() == "fold 1.0 (p99 1.0), score 3.0 (p99 3.0)"


def test_without_a_batch_there_is_nothing_to_report() -> None:
    assert StepTimer().report() == "no batch"
