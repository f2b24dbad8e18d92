"""Retries and waits that end when the process is asked to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from typing import Final, TypeVar

from adapters.runtime.health import Health
from cardwatch.errors import CardwatchError

T = TypeVar("T")

RETRY_SECONDS: Final = 2.0

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

    def call(self, function: Callable[[], T], *, doing: str) -> T:
        """Return the result of `function`, which is retried after every retriable error; raises the others."""
        reported = ""
        while True:
            try:
                result = function()
            except CardwatchError as error:
                if not error.retriable:
                    raise
                reason = f"{doing}: {error}"
                if reason != reported:
                    log.warning("%s; retrying every %g s", reason, self._retry_seconds)
                reported = reason
                self.health.waiting(reason)
            else:
                if reported:
                    self.health.ready()
                return result
            self.wait(self._retry_seconds)
