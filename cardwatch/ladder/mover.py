"""Moving versions: append a move to the log on condition that nobody else has, then project the ladder.

The log is the truth. What scoring processes read, the aliases of the registry, is a projection of it, which may lag
after a crash between both steps and is repaired by whoever looks next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import date
from typing import Protocol

from msgspec import structs

from cardwatch.errors import MoveConflict, MoveRefused
from cardwatch.ladder.moves import Move, MoveKind, MoveLog, RecordedMove, decode_move, encode_move
from cardwatch.ladder.stage_verdict import StageVerdict
from cardwatch.ladder.state import LadderState, Placed, ladder_after, state_after
from cardwatch.registry import ModelVersion

log = logging.getLogger(__name__)

ADOPTED_BY = "cardwatch"
"""The actor of the move that records a champion from before the move log."""


class Projection(Protocol):
    """The part that serves models by the stages of the ladder, such as the aliases of a registry.

    Every method raises `RegistryUnavailable` if the registry does not answer.
    """

    def version(self, version: str, /) -> ModelVersion | None:
        """Return a registered version by its number, None if it does not exist."""

    def adopted(self) -> ModelVersion | None:
        """Return the version that is champion now, None if there is none."""

    def shows(self, state: LadderState, /) -> bool:
        """Return whether the projection is that of this state."""

    def project(self, state: LadderState, /) -> None:
        """Make the projection that of this state. A repeated call changes nothing."""


class Mover:
    """The ladder of one registry. `epoch_ms` is the wall clock in ms since 1970, which moves record for people only."""

    def __init__(self, moves: MoveLog, projection: Projection, epoch_ms: Callable[[], float]) -> None:
        self._moves, self._projection, self._epoch_ms = moves, projection, epoch_ms
        self._known = LadderState()

    def state(self) -> LadderState:
        """Return the ladder now. Raises `CorruptMoves` if the log was changed.

        Without any move, the champion of the registry is the champion, and nothing else is on the ladder.
        """
        if new := self._moves.moves(self._known.number):
            self._known = ladder_after(new, self._known)
        if self._known.number == 0 and (champion := self._projection.adopted()) is not None:
            adopted = Placed(
                version=champion.version, digest=champion.digest, move=0, day=None, at_ms=0, actor=ADOPTED_BY
            )
            return structs.replace(self._known, champion=adopted)
        return self._known

    def history(self) -> list[Move]:
        """Return all moves, in order. Raises `CorruptMoves` if the log was changed."""
        recorded = self._moves.moves()
        ladder_after(recorded)
        return [decode_move(one) for one in recorded]

    def states_after(self, number: int) -> Iterator[tuple[Move, LadderState]]:
        """Yield the moves after this number, each with the ladder after it. Raises `CorruptMoves`."""
        state = LadderState()
        for recorded in self._moves.moves():
            state = ladder_after([recorded], state)
            if recorded.number > number:
                yield decode_move(recorded), state

    def move(
        self,
        kind: MoveKind,
        version: str,
        *,
        actor: str,
        reason: str,
        share: float | None = None,
        day: date | None = None,
        evidence: StageVerdict | None = None,
        expected: LadderState | None = None,
    ) -> Move:
        """Record a move and project it. `expected` is the ladder on which somebody decided to move; default: now.

        Raises `MoveRefused` if it is not possible, `MoveConflict` if somebody else has moved a version since
        `expected`. In both cases nothing was recorded.
        """
        state = self.state()
        if expected is not None and expected.number != state.number:
            raise MoveConflict(f"move {state.number} was made meanwhile: look at `cardwatch models` and decide again")
        if state.number == 0 and state.champion is not None:
            state = self._adopt(state.champion)
        registered = self._projection.version(version)
        if registered is None:
            raise MoveRefused(f"version {version} is not in the registry")
        move = Move(
            number=state.number + 1,
            kind=kind,
            version=version,
            digest=registered.digest,
            actor=actor,
            reason=reason,
            at_ms=int(self._epoch_ms()),
            previous=state.head,
            share=share,
            day=day,
            evidence=evidence,
        )
        state_after(state, move)
        self._append(move)
        self.repair()
        return move

    def repair(self) -> bool:
        """Project the ladder where the projection is another one, and return whether it was.

        Nothing happens without any move. The log is read again afterwards: a projector that was slow may have
        overwritten the projection of a newer move.
        """
        repaired = False
        while (state := self.state()).number and not self._projection.shows(state):
            self._projection.project(state)
            repaired = True
        return repaired

    def _adopt(self, champion: Placed) -> LadderState:
        adopted = Move(
            number=1,
            kind=MoveKind.ADOPT,
            version=champion.version,
            digest=champion.digest,
            actor=ADOPTED_BY,
            reason="it was champion before moves were recorded",
            at_ms=int(self._epoch_ms()),
            previous="",
        )
        self._append(adopted)
        return self.state()

    def _append(self, move: Move) -> None:
        try:
            self._moves.append(RecordedMove(number=move.number, content=encode_move(move)))
        except MoveConflict as error:
            raise MoveConflict(f"{error}: look at `cardwatch models` and decide again") from error
        log.info("move %d: %s version %s, by %s: %s", move.number, move.kind, move.version, move.actor, move.reason)
