"""What every long-running process of ours does alike: log lines, signals, readiness, and errors without a traceback."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

from adapters.settings import Settings
from cardwatch.errors import CardwatchError, Misconfigured


@contextmanager
def run_service() -> Iterator[Event]:
    """Give an event that SIGTERM and SIGINT set; turn our errors into one line on stderr and an exit status."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s  %(message)s", stream=sys.stderr
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping = Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        yield stopping
    except CardwatchError as error:
        logging.getLogger("cardwatch").error("%s", error)
        sys.exit(2 if isinstance(error, Misconfigured) else 1)


def mark_ready(settings: Settings, name: str) -> None:
    """Tell the local stack that this process does its work: the file that it waits for."""
    ready = settings.home / "run" / f"{name}.ready"
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.touch()
