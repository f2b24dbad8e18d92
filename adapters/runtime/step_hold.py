"""Holds the stream worker before a step of the commit order, for walking through it: two small files in a folder.

A command or the console writes the name of the step, the worker reads it before each step and stands still there until
the name is gone. It is a debug setting of the embedded stack: without it the worker reads nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Final

import msgspec
from msgspec import Struct

from adapters.runtime.files import write_atomically
from cardwatch.errors import Misconfigured

HELD_STEPS: Final = ("fold", "score", "policy", "commit", "apply")
"""The steps of the commit order before which a worker can be held, in their order."""

_LOOK_SECONDS: Final = 0.05


class HeldWorker(Struct, frozen=True):
    """A worker that stands still before `step`."""

    step: str
    pid: int


class StepHold:
    """The files in `folder`. Any process may ask for a hold; one worker at a time stands still."""

    def __init__(self, folder: Path) -> None:
        self._asked = folder / "held-step"
        self._standing = folder / "held-worker.json"

    def ask(self, step: str) -> None:
        """Ask the worker to stand still before this step. Raises `Misconfigured` for a step that does not exist."""
        if step not in HELD_STEPS:
            raise Misconfigured(f"there is no step {step!r:.40}, only {', '.join(HELD_STEPS)}")
        write_atomically(self._asked, step.encode())

    def release(self) -> None:
        """Let the worker go on."""
        self._asked.unlink(missing_ok=True)

    def asked(self) -> str | None:
        """Return the step before which a worker shall stand still, None for no step."""
        with suppress(FileNotFoundError):
            return self._asked.read_text(encoding="utf-8")
        return None

    def held(self) -> HeldWorker | None:
        """Return the worker that stands still, None if there is none or it has been killed."""
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            found = msgspec.json.decode(self._standing.read_bytes(), type=HeldWorker)
            return found if _is_alive(found.pid) else None
        return None

    def wait_before(self, step: str, stopping: Event, on_wait: Callable[[], None]) -> None:
        """Stand still while this step is asked for; `on_wait` is called all the time. Ends when `stopping` is set."""
        if self.asked() != step:
            return
        write_atomically(self._standing, msgspec.json.encode(HeldWorker(step, os.getpid())))
        try:
            while self.asked() == step and not stopping.is_set():
                on_wait()
                time.sleep(_LOOK_SECONDS)
        finally:
            self._standing.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
