"""An overview of the ladder: versions with stage and verdict, and the moves between stages."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import Move
from cardwatch.ladder.state import LadderState
from cardwatch.registry import ModelVersion


class VersionLine(Struct, frozen=True, kw_only=True):
    """A version: its stage, None if it never entered the ladder, and what its tags say of training and verdict."""

    version: str
    stage: str | None
    share: float | None
    verdict: str | None
    average_precision: str | None
    trained_until: str | None
    judged_from: str | None
    judged_until: str | None
    digest: str


class ModelsOverview(Struct, frozen=True, kw_only=True):
    """All versions, newest first, and all moves, oldest first. `head` is the digest of the newest move."""

    versions: list[VersionLine]
    moves: list[Move]
    head: str


def overview_of(versions: Sequence[ModelVersion], mover: Mover) -> ModelsOverview:
    """Return the overview. Raises `CorruptMoves` if the move log was changed."""
    state = mover.state()
    return ModelsOverview(
        versions=[_line(version, state) for version in versions], moves=mover.history(), head=state.head
    )


def _line(version: ModelVersion, state: LadderState) -> VersionLine:
    stage, tags = state.stage_of(version.version), version.tags
    is_canary = state.canary is not None and state.canary.version == version.version
    return VersionLine(
        version=version.version,
        stage=None if stage is None else str(stage),
        share=state.canary_share if is_canary else None,
        verdict=tags.get("verdict"),
        average_precision=tags.get("average_precision"),
        trained_until=tags.get("trained_until"),
        judged_from=tags.get("judged_from"),
        judged_until=tags.get("judged_until"),
        digest=version.digest,
    )
