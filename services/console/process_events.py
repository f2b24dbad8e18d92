"""Events of processes for the timeline: what has ended or stands still, and when it is ready again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cardwatch.live.frames import BoxState
from services.console.boxes import ProcessObservation

_AWAY: Final = {
    BoxState.DOWN: "has ended",
    BoxState.FROZEN: "is frozen",
    BoxState.WAITING: "is not ready",
    BoxState.STARTING: "has been started again",
}
_WORTH_TELLING: Final = (BoxState.DOWN, BoxState.FROZEN, BoxState.WAITING)
_PRESENT: Final = (BoxState.READY, BoxState.EXTERNAL)


class ProcessEvents:
    """Compares each observation with the one before. Nothing is told of a process until it has been ready once."""

    def __init__(self) -> None:
        self._states: dict[str, BoxState] = {}
        self._away_since: dict[str, float] = {}

    def sentences(self, observed: Iterable[ProcessObservation], now_seconds: float) -> list[str]:
        """Return what has happened since the observation before; `now_seconds` is a monotonic clock."""
        told = []
        for process in observed:
            name, state = process.name, process.state
            before = self._states.get(name)
            if state in _PRESENT:
                if (since := self._away_since.pop(name, None)) is not None:
                    told.append(f"{name} is ready again, after {now_seconds - since:.0f} s")
                self._states[name] = state
            elif before is not None and state is not before:
                self._states[name] = state
                if state in _WORTH_TELLING and not (state is BoxState.WAITING and name in self._away_since):
                    told.append(f"{name} {_AWAY[state]}" + (f": {process.reason}" if state is BoxState.WAITING else ""))
                if state in _AWAY:
                    self._away_since.setdefault(name, now_seconds)
        return told
