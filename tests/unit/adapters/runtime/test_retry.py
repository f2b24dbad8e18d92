from __future__ import annotations

import math
from threading import Event

import pytest

from adapters.runtime.health import Health
from adapters.runtime.retry import StoppableRetry, Stopped, poll, resend, retry, retry_once
from cardwatch.errors import BrokerUnavailable, Misconfigured, StoreUnavailable


class FakeTime:
    """A clock that only its own `sleep` moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds


class Script:
    """A function that raises or returns the given outcomes, one a call."""

    def __init__(self, *outcomes: object) -> None:
        self._outcomes = list(outcomes)
        self.calls = 0

    def __call__(self) -> object:
        self.calls += 1
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def test_a_retriable_error_is_retried_and_each_new_message_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    health = Health()
    reasons: list[str | None] = []
    outcomes = Script(
        BrokerUnavailable("no broker"), BrokerUnavailable("no broker"), StoreUnavailable("no store"), "done"
    )

    def function() -> object:
        reasons.append(health.why_not_ready)
        return outcomes()

    assert StoppableRetry(Event(), health, retry_seconds=0.0).call(function, doing="reading") == "done"
    assert reasons[1:] == ["reading: no broker", "reading: no broker", "reading: no store"]
    assert health.why_not_ready is None
    assert [record.getMessage() for record in caplog.records] == [
        "reading: no broker; retrying every 0 s",
        "reading: no store; retrying every 0 s",
    ]


def test_a_call_that_succeeds_at_once_does_not_change_the_health() -> None:
    health = Health()
    health.waiting("the first record")
    StoppableRetry(Event(), health).call(lambda: None)
    assert health.why_not_ready == "the first record"


def test_an_error_that_is_not_retriable_is_raised() -> None:
    function = Script(Misconfigured("no such table"))
    with pytest.raises(Misconfigured, match="no such table"):
        StoppableRetry(Event(), Health()).call(function)
    assert function.calls == 1


def test_a_stop_ends_the_wait_for_the_next_attempt() -> None:
    stopping = Event()
    stopping.set()
    function = Script(BrokerUnavailable("no broker"), "never reached")
    with pytest.raises(Stopped):
        StoppableRetry(stopping, Health()).call(function)
    assert function.calls == 1


def test_a_wait_keeps_the_process_live_and_ends_with_a_stop() -> None:
    now = FakeTime()
    stopping, health = Event(), Health(now.clock, stall_seconds=10)
    retries = StoppableRetry(stopping, health)
    now.sleep(11)
    assert health.why_not_live is not None
    retries.wait(0)
    assert health.why_not_live is None
    stopping.set()
    with pytest.raises(Stopped):
        retries.wait(60)


def test_a_transient_error_is_retried_until_the_deadline() -> None:
    now = FakeTime()
    function = Script(*[BrokerUnavailable(f"attempt {number}") for number in range(1, 10)])
    with pytest.raises(BrokerUnavailable, match="attempt 4"):
        retry(function, timeout_seconds=1.5, retry_seconds=0.5, sleep=now.sleep, clock=now.clock)
    assert now.pauses == [0.5, 0.5, 0.5]  # attempts at 0, 0.5, 1 and 1.5 s


def test_which_errors_are_transient_can_be_chosen() -> None:
    now = FakeTime()
    function = Script(OSError("refused"), "connected")
    result = retry(
        function,
        timeout_seconds=1,
        is_transient=lambda error: isinstance(error, OSError),
        sleep=now.sleep,
        clock=now.clock,
    )
    assert result == "connected"
    with pytest.raises(OSError, match="refused"):
        retry(Script(OSError("refused")), timeout_seconds=1, sleep=now.sleep, clock=now.clock)


def test_polling_returns_the_first_true_result() -> None:
    now = FakeTime()
    assert poll(Script(0, None, 7), timeout_seconds=math.inf, poll_seconds=2, sleep=now.sleep, clock=now.clock) == 7
    assert now.pauses == [2, 2]


def test_polling_ends_at_the_deadline_with_the_last_result() -> None:
    now = FakeTime()
    check = Script("", None, [], 0)
    assert poll(check, timeout_seconds=0.3, poll_seconds=0.15, sleep=now.sleep, clock=now.clock) == []
    assert check.calls == 3
    assert poll(lambda: False, timeout_seconds=0, sleep=now.sleep, clock=now.clock) is False


def test_polling_can_wait_for_any_property_of_the_result() -> None:
    now = FakeTime()
    state = poll(Script("running", "ended"), until=lambda state: state == "ended", timeout_seconds=1, sleep=now.sleep)
    assert state == "ended"


def test_only_what_was_not_accepted_is_sent_again() -> None:
    now = FakeTime()
    sent: list[list[int]] = []

    def send(items: list[int]) -> list[int]:
        sent.append(items)
        return items[2:]

    assert resend(send, [1, 2, 3, 4, 5], pauses_seconds=(0.1, 0.2, 0.4), sleep=now.sleep) == []
    assert sent == [[1, 2, 3, 4, 5], [3, 4, 5], [5]]
    assert now.pauses == [0.1, 0.2]


def test_items_that_are_never_accepted_are_returned_after_the_last_attempt() -> None:
    now = FakeTime()
    assert resend(lambda items: items, {"a": 1}, pauses_seconds=(0.1, 0.2), sleep=now.sleep) == {"a": 1}
    assert now.pauses == [0.1, 0.2]


def test_a_request_on_a_closed_connection_is_repeated_once() -> None:
    assert retry_once(Script(ConnectionError("closed"), "scores"), (ConnectionError,)) == "scores"
    function = Script(ConnectionError("closed"), ConnectionError("closed again"))
    with pytest.raises(ConnectionError, match="closed again"):
        retry_once(function, (ConnectionError,))
    assert function.calls == 2


def test_a_request_that_failed_late_or_for_another_reason_is_not_repeated() -> None:
    now = FakeTime()

    def slow() -> object:
        now.sleep(2.0)
        raise ConnectionError("closed")

    with pytest.raises(ConnectionError):
        retry_once(slow, (ConnectionError,), within_seconds=1.0, clock=now.clock)
    assert now.seconds == 2.0
    function = Script(ValueError("other"))
    with pytest.raises(ValueError, match="other"):
        retry_once(function, (ConnectionError,))
    assert function.calls == 1
