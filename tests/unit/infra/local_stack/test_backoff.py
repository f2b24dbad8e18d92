"""The pauses between restarts grow."""

from __future__ import annotations

from infra.local_stack.backoff import Backoff


def test_pauses_double_up_to_half_a_minute() -> None:
    backoff, now, pauses = Backoff(0.0), 0.0, []
    for _ in range(7):
        now += 0.5
        pauses.append(backoff.exited(now))
        assert backoff.due_seconds == now + pauses[-1]
        now = backoff.due_seconds
        backoff.started(now)
        assert backoff.due_seconds is None
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_minute_of_running_resets_the_pause() -> None:
    backoff = Backoff(0.0)
    assert backoff.exited(1.0) == 1.0
    backoff.started(2.0)
    assert backoff.exited(3.0) == 2.0
    backoff.started(5.0)
    assert backoff.exited(64.9) == 4.0  # after 59.9 s
    backoff.started(100.0)
    assert backoff.exited(160.0) == 1.0
