"""Pipelines as command-line processes: errors without a traceback, and SIGTERM handled like Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from cardwatch.errors import CardwatchError, Misconfigured


@contextmanager
def run_command() -> Iterator[None]:
    """Convert a `CardwatchError` to one line on stderr and the exit status: 2 for `Misconfigured`, otherwise 1."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except CardwatchError as error:
        sys.stderr.write(f"cardwatch: {error}\n")
        sys.exit(2 if isinstance(error, Misconfigured) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
