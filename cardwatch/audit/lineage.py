"""Where a model comes from: its training, the verdict on it, and who made it decide.

`promotion_of` is the only place that answers who made a version decide: from the move log, or for versions from before
it from the tags of the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from cardwatch.events import from_epoch_ms
from cardwatch.ladder.moves import Move, MoveKind
from cardwatch.registry import ModelVersion

_DECIDING: Final = frozenset({MoveKind.ADOPT, MoveKind.CANARY, MoveKind.PROMOTE, MoveKind.ROLLBACK})
"""The moves after which a version decides."""
PROMOTED: Final = "promoted"
"""The value of the tag `verdict` of a version that passed the gate."""


class ModelPromotion(Struct, frozen=True, kw_only=True):
    """Who made a version decide, why, and by which verdict. What is not recorded is empty.

    `by` names a flow run, a part of the system or a person, `at` is the time in UTC. `reason` is that of the move,
    `because` are those of the training.
    """

    by: str
    reason: str
    because: list[str]
    verdict: str
    verdict_digest: str
    at: str = ""
    remark: str = ""


def promotion_of(
    version: ModelVersion, moves: Sequence[Move] = (), decided_at_ms: float | None = None
) -> ModelPromotion:
    """Return who made a version decide: the newest move that did, of those up to `decided_at_ms` if it is given.

    `moves` are those of the move log. Before it there were only tags: the flow run that trained a version set the alias
    if the verdict promoted it; a version that was refused can only have decided because somebody moved the alias, which
    the registry does not record.
    """
    tags = version.tags
    deciding = [move for move in moves if move.version == version.version and move.kind in _DECIDING]
    before = [move for move in deciding if decided_at_ms is None or move.at_ms <= decided_at_ms]
    if deciding and deciding[0].kind is not MoveKind.ADOPT:
        return _by_move(version, before[-1] if before else deciding[0])
    verdict, flow_run = tags.get("verdict", ""), tags.get("flow_run", "")
    is_by_flow = verdict == PROMOTED and flow_run
    remark = ""
    if not is_by_flow:
        remark = "the registry does not record who set the alias"
        if verdict and verdict != PROMOTED:
            remark = f"the verdict {verdict} it, so somebody moved the alias by hand, and {remark}"
    return ModelPromotion(
        by=f"flow run {flow_run}" if is_by_flow else "",
        reason="",
        because=_texts(tags.get("because", "")),
        verdict=verdict,
        verdict_digest=tags.get("verdict_digest", ""),
        remark=remark,
    )


def _by_move(version: ModelVersion, move: Move) -> ModelPromotion:
    share = f" for {move.share:.0%} of the cards" if move.share is not None else ""
    return ModelPromotion(
        by=f"{move.actor}, with move {move.number} ({move.kind}{share})",
        reason=move.reason,
        because=_texts(version.tags.get("because", "")),
        verdict=version.tags.get("verdict", ""),
        verdict_digest=version.tags.get("verdict_digest", ""),
        at=f"{from_epoch_ms(move.at_ms):%Y-%m-%d %H:%M:%S} UTC",
    )


class VerdictLine(Struct, frozen=True, kw_only=True):
    """A sentence of a verdict with measurement and threshold; `result` is passed, FAILED, noted, or empty."""

    result: str
    sentence: str


class RecordedStep(Struct, frozen=True, kw_only=True):
    """A move of the version on the ladder, with the verdict on the stage that it came from."""

    number: int
    move: str
    by: str
    at: str
    reason: str
    checks: list[VerdictLine]


class ModelLineage(Struct, frozen=True, kw_only=True):
    """A version with its origin. Days are as the registry has them; windows end before their second day.

    `moves` are those of the version on the ladder, oldest first.

    `verdict` are the sentences of its verdict, with each check against its threshold. `faults` say what is wrong with
    the verdict's bundle or the moves, `note` why there is no bundle. `follows`: whether the verdict was computed again
    from its rows, and is the same.
    """

    version: str
    digest: str
    trained: list[str]
    judged: list[str]
    code_version: str
    promotion: ModelPromotion
    moves: list[RecordedStep]
    verdict: list[VerdictLine]
    follows: bool
    faults: list[str]
    note: str


def lineage_of(
    version: ModelVersion,
    reasons: list[str] | None = None,
    *,
    faults: list[str] | None = None,
    note: str = "",
    moves: Sequence[Move] = (),
    decided_at_ms: float | None = None,
) -> ModelLineage:
    """Return the lineage of a version. `moves` and `decided_at_ms` as in `promotion_of`.

    `reasons` are those of the verdict in its bundle, None without one: then those in the tags are shown. `faults` are
    those of the bundle, None if it was not checked.
    """
    tags = version.tags
    shown = _texts(tags.get("verdict_reasons", "")) if reasons is None else reasons
    of_moves = [
        f"move {move.number} is about digest {move.digest or 'none'}, the registry's version has {version.digest}"
        for move in moves
        if move.version == version.version and move.digest != version.digest
    ]
    return ModelLineage(
        version=version.version,
        digest=version.digest,
        trained=[tags[name] for name in ("trained_from", "trained_until") if name in tags],
        judged=[tags[name] for name in ("judged_from", "judged_until") if name in tags],
        code_version=tags.get("code_version", ""),
        promotion=promotion_of(version, moves, decided_at_ms),
        moves=[_step(move) for move in moves if move.version == version.version],
        verdict=[_line(reason) for reason in shown],
        follows=faults is not None and not faults,
        faults=[*(faults or []), *of_moves],
        note=note,
    )


def _step(move: Move) -> RecordedStep:
    share = f" with {move.share:.0%} of the cards" if move.share is not None else ""
    return RecordedStep(
        number=move.number,
        move=f"{move.kind}{share}",
        by=move.actor,
        at=f"{from_epoch_ms(move.at_ms):%Y-%m-%d %H:%M:%S} UTC" + (f", day {move.day}" if move.day else ""),
        reason=move.reason,
        checks=[
            VerdictLine(result="passed" if check.passed else "FAILED", sentence=check.sentence)
            for check in (move.evidence.checks if move.evidence else [])
        ],
    )


def _line(reason: str) -> VerdictLine:
    result, separator, sentence = reason.partition(": ")
    if separator and result in {"passed", "FAILED", "noted"}:
        return VerdictLine(result=result, sentence=sentence)
    return VerdictLine(result="", sentence=reason)


def _texts(text: str) -> list[str]:
    """Return a tag that is a JSON array of texts; other text as it is, because people may write tags too."""
    try:
        return msgspec.json.decode(text, type=list[str]) if text else []
    except msgspec.DecodeError:
        return [text]
