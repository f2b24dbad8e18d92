"""What every long-running process of ours does alike: log lines, signals, health, and errors without a traceback.

A process needs nothing to be there before it: what it cannot reach it waits for, saying so, and tries again.
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

from adapters.runtime.health import Health, exposed
from adapters.runtime.logs import set_up_logging
from adapters.runtime.retry import StoppableRetry, Stopped
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import CardwatchError, Misconfigured

RETRY_SECONDS: Final = 1.0
"""Pause before the work of a process begins again after a retriable error."""


class Process:
    """One process of ours: its settings, what it says of itself, and whether it was asked to stop."""

    def __init__(self, settings: Settings, health: Health, stopping: Event) -> None:
        self.settings, self.health, self.stopping = settings, health, stopping

    def keep_working(self, work: Callable[[], None], *, retry_seconds: float = RETRY_SECONDS) -> None:
        """Run `work` until it returns or the process is asked to stop; after what is retriable, from its beginning.

        So `work` makes its connections itself, and goes on from what is stored. It calls `health.ready` when it does
        its work and `health.turn` whenever its loop comes round. Raises every error that is not retriable.
        """
        if not self.stopping.is_set():
            with suppress(Stopped):
                StoppableRetry(self.stopping, self.health, retry_seconds=retry_seconds).call(work)

    def end_as_stopped(self) -> None:
        """For a process with an end of its own: end with the status of SIGTERM if it was asked to stop before that."""
        if self.stopping.is_set():
            sys.exit(128 + signal.SIGTERM)


@contextmanager
def run_service(name: str) -> Iterator[Process]:
    """Give the process that is called `name` its settings, its log, and the port where it is watched.

    SIGTERM and SIGINT set its `stopping`. Our errors end it as one line on stderr, with exit status 2 for what can be
    corrected in a setting, else 1.
    """
    with one_line_errors():
        settings = read_settings()
        set_up_logging(settings, name)
        process = Process(settings, Health(), Event())

        def stop(_signal: int, _frame: FrameType | None) -> None:
            process.stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        with exposed(settings, process.health):
            yield process


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn our errors into one line on stderr and an exit status, as `run_service` does."""
    try:
        yield
    except CardwatchError as error:
        logging.getLogger("cardwatch").error("%s", error)
        sys.exit(2 if isinstance(error, Misconfigured) else 1)
