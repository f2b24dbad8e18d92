"""Waiting that ends when the process is asked to stop."""

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
    """The process was asked to stop while it waited; what it was doing is done again after the next start."""


class Patience:
    """Waits and tries again until it succeeds, for as long as `stopping` is not set. `health` is told of both."""

    def __init__(self, stopping: Event, health: Health, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._stopping, self.health, self._retry_seconds = stopping, health, retry_seconds

    def pause(self, seconds: float) -> None:
        """Wait, or raise `Stopped`."""
        self.health.turn()
        if self._stopping.wait(seconds):
            raise Stopped

    def insist(self, doing: str, call: Callable[[], T]) -> T:
        """The result of `call`, tried again after every retriable error; raises the others, and `Stopped`."""
        said = ""
        while True:
            try:
                result = call()
            except CardwatchError as error:
                if not error.retriable:
                    raise
                if str(error) != said:
                    log.warning("%s: trying again every %g s: %s", doing, self._retry_seconds, error)
                said = str(error)
                self.health.waiting(f"{doing}: {error}")
            else:
                if said:
                    self.health.ready()
                return result
            self.pause(self._retry_seconds)
