"""The parts that all long-running processes share: log lines, signals, health checks, and errors without a traceback.

A process does not depend on the order of starts: it logs which part is unavailable, waits, and retries.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from types import FrameType
from typing import Final

from adapters.runtime.addresses import without_userinfo
from adapters.runtime.health import Health, serve_health
from adapters.runtime.logs import set_up_logging
from adapters.runtime.retry import StoppableRetry, Stopped
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import CardwatchError, Misconfigured

RETRY_SECONDS: Final = 1.0
"""Pause before the work of a process begins again after a retriable error."""


class Process:
    """A process: its settings, its health, and an event that is set when it should stop."""

    def __init__(self, settings: Settings, health: Health, stopping: Event) -> None:
        self.settings, self.health, self.stopping = settings, health, stopping

    def keep_working(self, work: Callable[[], None], *, retry_seconds: float = RETRY_SECONDS) -> None:
        """Run `work` until it returns or the process should stop. Start it again after every retriable error.

        Therefore `work` opens its own connections and continues from stored positions. It calls `health.ready` when it
        does its work, and `health.turn` in every iteration of its loop. Raises errors that are not retriable.
        """
        if not self.stopping.is_set():
            with suppress(Stopped):
                StoppableRetry(self.stopping, self.health, retry_seconds=retry_seconds).call(work)

    def end_as_stopped(self) -> None:
        """Exit with the status of SIGTERM if the process was stopped before it had finished by itself."""
        if self.stopping.is_set():
            sys.exit(128 + signal.SIGTERM)


@contextmanager
def run_service(name: str) -> Iterator[Process]:
    """Set up a process: settings, log, health checks, and signals. SIGTERM and SIGINT set its `stopping`.

    Errors of Cardwatch end the process as in `exit_on_error`.
    """
    with exit_on_error():
        settings = read_settings()
        set_up_logging(settings, name)
        process = Process(settings, Health(), Event())

        def stop(_signal: int, _frame: FrameType | None) -> None:
            process.stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        with serve_health(settings, process.health):
            yield process


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Log an error of Cardwatch as one line and exit, with status 2 if a setting is wrong, else 1."""
    try:
        yield
    except CardwatchError as error:
        logging.getLogger("cardwatch").error("%s", without_userinfo(str(error)))
        sys.exit(2 if isinstance(error, Misconfigured) else 1)
