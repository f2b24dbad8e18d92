"""Which version is on which stage of the ladder: a function of the recorded moves, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from enum import StrEnum
from typing import Final

from msgspec import Struct, structs

from cardwatch.errors import CorruptMoves, MoveRefused
from cardwatch.ladder.moves import (
    FIRST_PREVIOUS,
    Move,
    MoveKind,
    RecordedMove,
    decode_move,
    digest_of_move,
)


class Stage(StrEnum):
    """A stage of the ladder, from the lowest to the highest, and those of versions that have left it."""

    CHALLENGER = "challenger"
    SHADOW = "shadow"
    CANARY = "canary"
    CHAMPION = "champion"
    PREVIOUS = "previous"
    RETIRED = "retired"


class Placed(Struct, frozen=True, kw_only=True):
    """A version on its stage: since which move, which event day was the newest archived one then, and who moved it."""

    version: str
    digest: str
    move: int
    day: date | None
    at_ms: int
    actor: str
    is_approved: bool = False


class LadderState(Struct, frozen=True, kw_only=True):
    """The ladder after `number` moves. `head` is the digest of the newest one.

    At most one version is in shadow or canary: `canary_share` is the share of the cards that a canary decides, else
    None. `retired` are the versions that have left the ladder.
    """

    number: int = 0
    head: str = FIRST_PREVIOUS
    champion: Placed | None = None
    previous: Placed | None = None
    canary: Placed | None = None
    canary_share: float | None = None
    shadow: Placed | None = None
    challenger: Placed | None = None
    retired: frozenset[str] = frozenset()

    @property
    def candidate(self) -> Placed | None:
        """The version that is on its way up: in canary, shadow or waiting as challenger, the highest of these."""
        return self.served_candidate or self.challenger

    @property
    def served_candidate(self) -> Placed | None:
        """The version that scores beside the champion: in canary or in shadow."""
        return self.canary or self.shadow

    def stage_of(self, version: str) -> Stage | None:
        """Return the stage of a version, None if the log does not know it."""
        for stage in (Stage.CHAMPION, Stage.CANARY, Stage.SHADOW, Stage.CHALLENGER, Stage.PREVIOUS):
            placed: Placed | None = getattr(self, stage)
            if placed is not None and placed.version == version:
                return stage
        return Stage.RETIRED if version in self.retired else None


def ladder_after(recorded: Sequence[RecordedMove], state: LadderState | None = None) -> LadderState:
    """Return the ladder after these moves. Raises `CorruptMoves` for a broken chain or an impossible move."""
    state = state or LadderState()
    for one in recorded:
        move = decode_move(one)
        try:
            state = structs.replace(state_after(state, move), head=digest_of_move(one))
        except MoveRefused as error:
            raise CorruptMoves(f"move {one.number} does not follow from those before it: {error}") from error
    return state


def state_after(state: LadderState, move: Move) -> LadderState:
    """Return the ladder after a move, with the `head` of before. Raises `MoveRefused` if the move is not possible.

    What a policy allows is not looked at: a recorded move remains valid when the policy changes.
    """
    if (move.number, move.previous) != (state.number + 1, state.head):
        raise MoveRefused(
            f"move {move.number} was made for a ladder of {move.number - 1} moves, this one has {state.number}"
        )
    if (move.share is not None) != (move.kind is MoveKind.CANARY):
        raise MoveRefused("a canary has a share of the cards, and no other stage has one")
    return structs.replace(_AFTER[move.kind](state, move), number=move.number)


def _adopt(state: LadderState, move: Move) -> LadderState:
    if state.champion is not None:
        raise MoveRefused(f"version {state.champion.version} is champion already")
    _require_stage(state, move, None)
    return structs.replace(state, champion=_placed(move))


def _challenge(state: LadderState, move: Move) -> LadderState:
    _require_stage(state, move, None, Stage.RETIRED)
    superseded = {state.challenger.version} if state.challenger else set()
    return structs.replace(state, challenger=_placed(move), retired=(state.retired | superseded) - {move.version})


def _shadow(state: LadderState, move: Move) -> LadderState:
    stage = _require_stage(state, move, Stage.CHALLENGER, Stage.CANARY)
    if stage is Stage.CANARY:
        return structs.replace(state, canary=None, canary_share=None, shadow=_moved(state.canary, move))
    _require_nobody_above(state, move)
    return structs.replace(state, challenger=None, shadow=_moved(state.challenger, move))


def _approve(state: LadderState, move: Move) -> LadderState:
    stage = _require_stage(state, move, Stage.CHALLENGER, Stage.SHADOW)
    placed: Placed = getattr(state, str(stage))
    return structs.replace(state, **{str(stage): structs.replace(placed, is_approved=True)})


def _canary(state: LadderState, move: Move) -> LadderState:
    stage = _require_stage(state, move, Stage.CHALLENGER, Stage.SHADOW, Stage.CANARY)
    if stage is Stage.CHALLENGER:
        _require_nobody_above(state, move)
    if stage is Stage.CANARY and move.share == state.canary_share:
        raise MoveRefused(f"version {move.version} decides {move.share:.0%} of the cards already")
    placed = _moved(getattr(state, str(stage)), move)
    return structs.replace(state, **{str(stage): None} | {"canary": placed, "canary_share": move.share})


def _promote(state: LadderState, move: Move) -> LadderState:
    stage = _require_stage(state, move, Stage.CHALLENGER, Stage.SHADOW, Stage.CANARY)
    retired = state.retired | ({state.previous.version} if state.previous else set())
    left = {str(stage): None} | ({"canary_share": None} if stage is Stage.CANARY else {})
    return structs.replace(
        state,
        **left,
        champion=_moved(getattr(state, str(stage)), move),
        previous=state.champion,
        retired=retired,
    )


def _rollback(state: LadderState, move: Move) -> LadderState:
    if state.previous is None:
        raise MoveRefused("there is no previous champion to go back to")
    _require_stage(state, move, Stage.PREVIOUS)
    retired = state.retired | ({state.champion.version} if state.champion else set())
    state = structs.replace(state, champion=_placed(move), previous=None, retired=retired)
    # A canary was compared with the champion that is gone, so it decides nothing until it was compared with this one.
    return structs.replace(state, canary=None, canary_share=None, shadow=state.canary) if state.canary else state


def _retire(state: LadderState, move: Move) -> LadderState:
    stages = (Stage.CHALLENGER, Stage.SHADOW, Stage.CANARY, Stage.PREVIOUS)
    stage = _require_stage(state, move, *stages)
    left = {str(stage): None} | ({"canary_share": None} if stage is Stage.CANARY else {})
    return structs.replace(state, **left, retired=state.retired | {move.version})


_AFTER: Final[dict[MoveKind, Callable[[LadderState, Move], LadderState]]] = {
    MoveKind.ADOPT: _adopt,
    MoveKind.CHALLENGE: _challenge,
    MoveKind.SHADOW: _shadow,
    MoveKind.APPROVE: _approve,
    MoveKind.CANARY: _canary,
    MoveKind.PROMOTE: _promote,
    MoveKind.ROLLBACK: _rollback,
    MoveKind.RETIRE: _retire,
}


def _require_stage(state: LadderState, move: Move, *allowed: Stage | None) -> Stage | None:
    """Return the stage of the version; raise `MoveRefused` unless it is allowed and has the digest of the log."""
    stage = state.stage_of(move.version)
    if stage not in allowed:
        where = "is not on the ladder" if stage is None else f"is {stage}"
        needed = " or ".join("new" if one is None else str(one) for one in allowed)
        raise MoveRefused(f"{move.kind} of version {move.version} is not possible: it {where}, and must be {needed}")
    if stage is not None and stage is not Stage.RETIRED:
        placed: Placed = getattr(state, str(stage))
        if placed.digest != move.digest:
            raise MoveRefused(
                f"version {move.version} has digest {move.digest or 'none'}, and had {placed.digest or 'none'} when it "
                f"became {stage}: its files are not those that were judged"
            )
    return stage


def _require_nobody_above(state: LadderState, move: Move) -> None:
    other = state.served_candidate
    if other is not None:
        stage = "canary" if state.canary else "shadow"
        raise MoveRefused(
            f"version {other.version} is {stage}, and one version climbs at a time: retire it first, or wait; "
            f"version {move.version} remains challenger"
        )


def _placed(move: Move) -> Placed:
    return Placed(
        version=move.version, digest=move.digest, move=move.number, day=move.day, at_ms=move.at_ms, actor=move.actor
    )


def _moved(placed: Placed | None, move: Move) -> Placed:
    """Return the version on its new stage; an approval stays with it."""
    return structs.replace(_placed(move), is_approved=placed is not None and placed.is_approved)
