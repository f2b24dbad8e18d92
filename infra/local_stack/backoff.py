"""Exponential backoff between restarts of a process."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 1.0
MAX_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""Seconds of uninterrupted running after which the backoff begins at `FIRST_SECONDS` again."""


class Backoff:
    """The pauses before restarts of one process: 1 s, then twice the previous pause, up to 30 s.

    Times are seconds on any monotonic clock.
    """

    def __init__(self, started_seconds: float) -> None:
        self._started_seconds = started_seconds
        self._pause_seconds = 0.0
        self.due_seconds: float | None = None
        """Time of the next restart; None while the process runs."""

    def exited(self, now_seconds: float) -> float:
        """Record that the process has exited and return the pause in seconds."""
        if now_seconds - self._started_seconds >= STEADY_SECONDS:
            self._pause_seconds = 0.0
        self._pause_seconds = min(2 * self._pause_seconds, MAX_SECONDS) or FIRST_SECONDS
        self.due_seconds = now_seconds + self._pause_seconds
        return self._pause_seconds

    def started(self, now_seconds: float) -> None:
        """Record that the process has been started again."""
        self._started_seconds, self.due_seconds = now_seconds, None
