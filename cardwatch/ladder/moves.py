"""Moves of model versions between the stages of the ladder, as they are recorded in the move log.

A move names its predecessor by a digest, so that none but the newest can be changed, left out or put between two others
without breaking the chain. Whoever owns the log can write a whole new chain, which only a digest of the newest move
that was kept elsewhere shows.
"""

from __future__ import annotations

import hashlib
from datetime import date
from enum import StrEnum
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta, Struct

from cardwatch.errors import CorruptMoves
from cardwatch.ladder.stage_verdict import StageVerdict

FIRST_PREVIOUS: Final = ""
"""The `previous` of the first move."""

Version = Annotated[str, Meta(min_length=1, max_length=64)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class MoveKind(StrEnum):
    """What happens to a version."""

    ADOPT = "adopt"
    """It is champion without having climbed: the first one, or that of a registry from before the move log."""
    CHALLENGE = "challenge"
    """It passed the offline verdict and waits for the shadow."""
    SHADOW = "shadow"
    """It scores everything and decides nothing: a step up from challenger, or a step down from canary."""
    APPROVE = "approve"
    """A person allows it to decide. Its stage stays the same."""
    CANARY = "canary"
    """It decides a share of the cards, or another share than before."""
    PROMOTE = "promote"
    """It is champion, and the champion until now is previous."""
    ROLLBACK = "rollback"
    """The previous champion decides again, and the champion until now is retired."""
    RETIRE = "retire"
    """It leaves the ladder for good."""


class Move(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One move. `number` counts from 1, `previous` is the `digest_of_move` of the move before.

    `digest` is that of the version's files. `share` is set for a canary only: the share of the cards that it decides.
    `actor` is who moved it: a person, or the part of the system. `at_ms`: wall clock in ms since 1970, for people only.
    `day` is the newest archived event day then, None if there was none. `evidence` is the verdict of the stage before,
    or what a guard rail measured.
    """

    number: Annotated[int, Meta(ge=1, lt=2**31)]
    kind: MoveKind
    version: Version
    digest: Annotated[str, Meta(max_length=64)]
    actor: Text
    reason: Text
    at_ms: Annotated[int, Meta(ge=0, lt=2**53)]
    previous: Annotated[str, Meta(max_length=64)]
    share: Share | None = None
    day: date | None = None
    evidence: StageVerdict | None = None


class RecordedMove(Struct, frozen=True, kw_only=True):
    """A move as it is stored: its number and its bytes."""

    number: int
    content: bytes


class MoveLog(Protocol):
    """An append-only log of moves with a conditional append.

    Every method raises `MoveLogUnavailable` if the log does not answer, and `Misconfigured` if it never will.
    """

    def moves(self, after: int = 0) -> list[RecordedMove]:
        """Return the moves with a number above `after`, in the order of their numbers."""

    def append(self, move: RecordedMove) -> None:
        """Append a move. Raises `MoveConflict`, and changes nothing, if its number is not the next one."""


_DECODER: Final = msgspec.json.Decoder(Move)


def encode_move(move: Move) -> bytes:
    """Return the bytes that are stored; `decode_move` gives an equal move."""
    return msgspec.json.encode(move)


def decode_move(recorded: RecordedMove) -> Move:
    """Return the move. Raises `CorruptMoves` if the bytes are no move, or that of another number."""
    try:
        move = _DECODER.decode(recorded.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptMoves(f"move {recorded.number} cannot be read: {error}") from error
    if move.number != recorded.number:
        raise CorruptMoves(f"move {recorded.number} says that its number is {move.number}")
    return move


def digest_of_move(recorded: RecordedMove) -> str:
    """Return the SHA-256 of the move's bytes, hexadecimal."""
    return hashlib.sha256(recorded.content).hexdigest()
