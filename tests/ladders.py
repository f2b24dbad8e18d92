"""A ladder over a registry in memory, for tests that move versions."""

from __future__ import annotations

from cardwatch.ladder.memory_log import MemoryMoveLog
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.state import LadderState
from cardwatch.registry import ModelVersion


def registered(version: str) -> ModelVersion:
    """A version whose digest is that of its number."""
    return ModelVersion(version=version, run_id="", tags={"digest": f"digest of {version}"})


class MemoryProjection:
    """The stages of a ladder as somebody who serves models would see them."""

    def __init__(self, *versions: str, champion: str | None = None) -> None:
        self.versions = {version: registered(version) for version in versions}
        self.before = champion
        self.shown: LadderState | None = None
        self.projections = 0

    def version(self, version: str) -> ModelVersion | None:
        return self.versions.get(version)

    def adopted(self) -> ModelVersion | None:
        return self.versions.get(self.before or "")

    def shows(self, state: LadderState) -> bool:
        return self.shown == state

    def project(self, state: LadderState) -> None:
        self.shown = state
        self.projections += 1


def mover_of(projection: MemoryProjection, moves: MemoryMoveLog | None = None) -> Mover:
    """A mover whose clock stands still."""
    return Mover(moves or MemoryMoveLog(), projection, lambda: 1_000.0)
