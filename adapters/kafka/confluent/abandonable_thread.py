"""A thread for calls of a library that may never end."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, NamedTuple


class _Call(NamedTuple):
    """A function, and where its exception goes, or None when it has returned."""

    function: Callable[[], object]
    outcome: SimpleQueue[BaseException | None]


class AbandonableThread:
    """Runs one call at a time. A call that takes too long is left behind with its thread, and the next gets another.

    It is started by the first call and kept, because a new thread for each call would take a tenth of a millisecond.
    Python's exit does not wait for it.
    """

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._calls: SimpleQueue[_Call | None] | None = None

    def call(self, function: Callable[[], object], timeout_seconds: float) -> None:
        """Return when `function` has returned. Raise what it raises, and `TimeoutError` if it does not end in time."""
        if self._calls is None:
            self._calls = SimpleQueue()
            Thread(target=_run, args=(self._calls,), name=self._name, daemon=True).start()
        outcome: SimpleQueue[BaseException | None] = SimpleQueue()
        self._calls.put(_Call(function, outcome))
        try:
            failure = outcome.get(timeout=timeout_seconds)
        except Empty:
            self.close()
            raise TimeoutError from None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the thread after its call, if it has one. A later call starts another thread."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _run(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        try:
            call.function()
        except BaseException as error:
            call.outcome.put(error)
        else:
            call.outcome.put(None)
        del call  # keeps nothing of the caller's until the next call
