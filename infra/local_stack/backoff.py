"""When something that has fallen is started again: soon, and ever more rarely if it keeps falling."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 1.0
MAX_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0


class Backoff:
    """The pauses before the starts of one thing: 1 s, then twice the one before, up to 30 s.

    What has run for a minute begins at 1 s again. Times are seconds on any clock that does not go backwards.
    """

    def __init__(self, started_seconds: float) -> None:
        self._started_seconds = started_seconds
        self._pause_seconds = 0.0
        self.due_seconds: float | None = None
        """When it is to be started, None while it runs."""

    def fell(self, now_seconds: float) -> float:
        """Note that it has fallen; gives the pause in seconds."""
        if now_seconds - self._started_seconds >= STEADY_SECONDS:
            self._pause_seconds = 0.0
        self._pause_seconds = min(2 * self._pause_seconds, MAX_SECONDS) or FIRST_SECONDS
        self.due_seconds = now_seconds + self._pause_seconds
        return self._pause_seconds

    def started(self, now_seconds: float) -> None:
        """Note that it has been started again."""
        self._started_seconds, self.due_seconds = now_seconds, None
