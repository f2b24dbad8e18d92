"""Holding the stream worker before a step of the commit order, where the stack has been started with that setting."""

from __future__ import annotations

import logging

from adapters.runtime.step_hold import StepHold
from cardwatch.errors import Misconfigured
from cardwatch.live.frames import StepFrame

log = logging.getLogger(__name__)


class CommitSteps:
    """What the page shows and asks for. `hold` is None where no worker can be held."""

    def __init__(self, hold: StepHold | None) -> None:
        self._hold = hold

    def frame(self) -> StepFrame:
        """Return the step that is asked for, and the worker that stands still."""
        if self._hold is None:
            return StepFrame(is_possible=False)
        held = self._hold.held()
        return StepFrame(
            is_possible=True,
            asked=self._hold.asked(),
            held=None if held is None else held.step,
            pid=None if held is None else held.pid,
        )

    def ask(self, step: str) -> None:
        """Ask for a hold before a step. Raises `Misconfigured` for an unknown step, and where no worker can be held."""
        self._possible().ask(step)
        log.info("audit: hold the stream worker before %s", step)

    def release(self) -> None:
        """Let the worker go on. Raises `Misconfigured` where no worker can be held."""
        self._possible().release()
        log.info("audit: release the stream worker")

    def _possible(self) -> StepHold:
        if self._hold is None:
            raise Misconfigured("this stack holds no steps: start it with CARDWATCH_HOLD_STEPS=true cardwatch up")
        return self._hold
