"""A pipeline as a process that ends by itself: errors without a traceback, and SIGTERM ends it as Ctrl-C does."""

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
    """Turn what Cardwatch refuses into one line on stderr and the exit status that `cardwatch` has for it."""
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
