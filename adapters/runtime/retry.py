"""Retries and polling, on tenacity: until the process stops, until a deadline, or a fixed number of times."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from threading import Event
from typing import TYPE_CHECKING, Final, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    wait_chain,
    wait_fixed,
)
from tenacity.stop import StopBaseT

from cardwatch.errors import CardwatchError

if TYPE_CHECKING:  # its metrics would lengthen the cold start of functions, which only use `retry` and `resend`
    from adapters.runtime.health import Health

RETRY_SECONDS: Final = 2.0
"""Pause between two attempts to reach a part of the system that is down. Nothing is lost by the wait."""
POLL_SECONDS: Final = 0.1
"""Pause between two checks of a condition."""

T = TypeVar("T")
Remaining = TypeVar("Remaining", bound=Collection[object])
Sleep = Callable[[float], None]
Clock = Callable[[], float]

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The process was asked to stop during a wait. The interrupted step is repeated after the next start."""


class StoppableRetry:
    """Retries and waits that end with `Stopped` when `stopping` is set. `health` shows what the process waits for."""

    def __init__(self, stopping: Event, health: Health, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._stopping, self.health, self._retry_seconds = stopping, health, retry_seconds

    def wait(self, seconds: float) -> None:
        """Wait, or raise `Stopped`."""
        self.health.turn()
        if self._stopping.wait(seconds):
            raise Stopped

    def call(self, function: Callable[[], T], *, doing: str = "") -> T:
        """Return the result of `function`, which is retried after every retriable error.

        `doing` names the step in messages. Each new message is logged once. Raises errors that are not retriable, and
        `Stopped`.
        """
        reported = ""

        def report(state: RetryCallState) -> None:
            nonlocal reported
            reason = f"{doing}: {_error(state)}" if doing else str(_error(state))
            self.health.waiting(reason)
            if reason != reported:
                log.warning("%s; retrying every %g s", reason, self._retry_seconds)
            reported = reason

        result = Retrying(
            retry=retry_if_exception(is_retriable),
            wait=wait_fixed(self._retry_seconds),
            sleep=self.wait,
            before_sleep=report,
        )(function)
        if reported:
            self.health.ready()
        return result


def retry(
    function: Callable[[], T],
    *,
    timeout_seconds: float,
    retry_seconds: float = POLL_SECONDS,
    is_transient: Callable[[BaseException], bool] | None = None,
    sleep: Sleep = time.sleep,
    clock: Clock = time.monotonic,
) -> T:
    """Return the result of `function`, which is retried after a transient error until the timeout is over.

    By default the retriable errors of Cardwatch are transient. Raises the last error.
    """
    return Retrying(
        retry=retry_if_exception(is_transient or is_retriable),
        wait=wait_fixed(retry_seconds),
        stop=_deadline(timeout_seconds, clock),
        sleep=sleep,
        reraise=True,
    )(function)


def poll(
    function: Callable[[], T],
    *,
    until: Callable[[T], object] = bool,
    timeout_seconds: float,
    poll_seconds: float = POLL_SECONDS,
    sleep: Sleep = time.sleep,
    clock: Clock = time.monotonic,
) -> T:
    """Return the first result of `function` that satisfies `until`, or the last result when the timeout is over.

    `function` is called at least once. With `timeout_seconds` of infinity there is no deadline.
    """
    return Retrying(
        retry=retry_if_result(lambda result: not until(result)),
        wait=wait_fixed(poll_seconds),
        stop=_deadline(timeout_seconds, clock),
        sleep=sleep,
        retry_error_callback=_last_result,
    )(function)


def retry_once(
    function: Callable[[], T],
    errors: tuple[type[Exception], ...],
    *,
    within_seconds: float = math.inf,
    clock: Clock = time.perf_counter,
) -> T:
    """Return the result of `function`, which is called again at once if it raises one of `errors` within the time.

    It is for idempotent requests on kept-alive connections, which the other side may close at the moment of use.
    """
    begin = clock()
    try:
        return function()
    except errors:
        if clock() - begin > within_seconds:
            raise
        return function()


def resend(
    send: Callable[[Remaining], Remaining],
    items: Remaining,
    *,
    pauses_seconds: Sequence[float],
    sleep: Sleep = time.sleep,
) -> Remaining:
    """Send `items` in up to `len(pauses_seconds) + 1` attempts and return those that are still not accepted.

    `send` returns the part of its argument that was not accepted; only that part is sent again, after the next pause.
    """
    remaining = items

    def attempt() -> Remaining:
        nonlocal remaining
        remaining = send(remaining)
        return remaining

    return Retrying(
        retry=retry_if_result(lambda result: len(result) > 0),
        wait=wait_chain(*[wait_fixed(seconds) for seconds in pauses_seconds]),
        stop=stop_after_attempt(len(pauses_seconds) + 1),
        sleep=sleep,
        retry_error_callback=_last_result,
    )(attempt)


def is_retriable(error: BaseException) -> bool:
    """Whether the call that raised `error` may succeed later."""
    return isinstance(error, CardwatchError) and error.retriable


def _deadline(timeout_seconds: float, clock: Clock) -> StopBaseT:
    deadline = clock() + timeout_seconds
    return lambda _state: clock() >= deadline


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _last_result(state: RetryCallState) -> object:
    assert state.outcome is not None  # noqa: S101 (tenacity calls this after an attempt)
    return state.outcome.result()
