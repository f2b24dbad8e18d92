"""Deadlines that grow with the load of the machine, so that a busy machine alone fails no test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

MAX_FACTOR = 6.0
"""Maximum extension of a deadline: beyond it, a test that waits for nothing would block the others for too long."""


def load_factor() -> float:
    """How many processes share a core, 1 for a machine that is not overloaded."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), MAX_FACTOR)


class Deadline:
    """A time limit in seconds of an idle machine, multiplied by the highest load since the beginning."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._factor, self._begin = seconds, 1.0, time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._begin

    def has_passed(self) -> bool:
        self._factor = max(self._factor, load_factor())
        return self.elapsed_seconds > self._seconds * self._factor


def until(what: str, reached: Callable[[], bool], seconds: float = 120.0, *, poll_seconds: float = 0.05) -> float:
    """Poll for a state with a `Deadline`; gives after how many seconds it was reached."""
    deadline = Deadline(seconds)
    while not reached():
        assert not deadline.has_passed(), f"{what}: not within {deadline.elapsed_seconds:.0f} s"
        time.sleep(poll_seconds)
    return deadline.elapsed_seconds


def pass_seconds(seconds: float) -> None:
    """Let time pass: how long a fault lasts. It is no wait for a state."""
    time.sleep(seconds)
