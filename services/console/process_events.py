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
}
"""States that are told, in words. A process that starts is away too, which nobody needs to be told."""
_PRESENT: Final = (BoxState.READY, BoxState.EXTERNAL)


class ProcessEvents:
    """Compares each observation with the one before. Nothing is told of a process until it has been ready once.

    Its return is told if its absence was.
    """

    def __init__(self) -> None:
        self._states: dict[str, BoxState] = {}
        self._away_since: dict[str, float] = {}
        self._told_away: set[str] = set()

    def sentences(self, observed: Iterable[ProcessObservation], now_seconds: float) -> list[str]:
        """Return what has happened since the observation before; `now_seconds` is a monotonic clock."""
        told: list[str] = []
        for process in observed:
            before, self._states[process.name] = self._states.get(process.name), process.state
            if process.state in _PRESENT:
                told += self._returned(process.name, now_seconds)
            elif before is None:
                del self._states[process.name]
            elif process.state is not before:
                told += self._left(process, now_seconds)
        return told

    def _returned(self, name: str, now_seconds: float) -> list[str]:
        since = self._away_since.pop(name, None)
        if name not in self._told_away or since is None:
            return []
        self._told_away.discard(name)
        return [f"{name} is ready again, after {now_seconds - since:.0f} s"]

    def _left(self, process: ProcessObservation, now_seconds: float) -> list[str]:
        name, state = process.name, process.state
        if state not in _AWAY and state is not BoxState.STARTING:
            return []
        self._away_since.setdefault(name, now_seconds)
        is_known = state is BoxState.WAITING and name in self._told_away
        if state not in _AWAY or is_known:
            return []
        self._told_away.add(name)
        return [f"{name} {_AWAY[state]}" + (f": {process.reason}" if state is BoxState.WAITING else "")]
