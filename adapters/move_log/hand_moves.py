"""A move that a person makes: held against the policy, recorded, and awaited until it is served."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from typing import NamedTuple

from adapters.archive.reader import Archive
from adapters.archive.stage_decisions import candidate_verdict
from adapters.move_log.open import OpenedLadder
from adapters.runtime.policy_file import Policies, read_policies
from adapters.runtime.retry import poll
from adapters.scoring.client import ServedVersionClient, ServedVersions
from cardwatch.errors import ArchiveUnavailable, Misconfigured, MoveRefused, ScoringUnavailable
from cardwatch.ladder.moves import MoveKind
from cardwatch.ladder.rules import require_allowed
from cardwatch.ladder.stage_verdict import StageVerdict
from cardwatch.ladder.state import LadderState, Stage

SERVING_TIMEOUT_SECONDS = 30.0


class WantedMove(NamedTuple):
    """A move that a person asks for. `version` is None for a rollback: it restores the previous champion."""

    kind: MoveKind
    version: str | None
    reason: str
    actor: str
    share: float | None
    despite_verdict: bool


def move_version(ladder: OpenedLadder, wanted: WantedMove) -> Iterator[str]:
    """Make the move, and yield lines that say what happened. Raises `MoveRefused`, and records nothing, if not."""
    if not wanted.reason:
        raise Misconfigured("the reason is empty: say why, it is recorded")
    state, policies = ladder.mover.state(), read_policies(ladder.settings)
    version = wanted.version or (state.previous.version if state.previous else None)
    if version is None:
        raise MoveRefused("there is no previous champion to go back to")
    share = wanted.share
    if wanted.kind is MoveKind.CANARY:
        share = share or policies.ladder.canary_share
    newest = _newest_day(ladder)
    evidence = _evidence(ladder, state, policies, version, newest, wanted.kind)
    if evidence is not None:
        yield f"verdict on version {version} in {state.stage_of(version)}, {evidence.rows:,} recorded decisions:"
        yield from (f"  {'passed' if check.passed else 'FAILED'}: {check.sentence}" for check in evidence.checks)
    reason = wanted.reason
    if wanted.despite_verdict:
        reason = f"despite its verdict: {reason}"
    else:
        if wanted.kind is MoveKind.CHALLENGE:
            _require_passed_verdict(ladder, version)
        require_allowed(state, policies.ladder, wanted.kind, version, evidence)
    move = ladder.mover.move(
        wanted.kind,
        version,
        actor=wanted.actor,
        reason=reason[:500],
        share=share,
        day=newest,
        evidence=evidence,
        expected=state,
    )
    yield f"move {move.number}: {move.kind} version {version}, recorded"
    begin = time.monotonic()
    yield _served(ladder, begin)


def _require_passed_verdict(ladder: OpenedLadder, version: str) -> None:
    registered = ladder.registry.version(version)
    if registered is not None and registered.tags.get("verdict") != "promoted":
        raise MoveRefused(
            f"version {version} has not passed its offline verdict: `cardwatch verdict fetch {version} FOLDER` says why"
        )


def _newest_day(ladder: OpenedLadder) -> date | None:
    try:
        return max(Archive(ladder.settings.archive, ladder.settings.index_url).closed_days(), default=None)
    except ArchiveUnavailable:
        return None


def _evidence(
    ladder: OpenedLadder, state: LadderState, policies: Policies, version: str, newest: date | None, kind: MoveKind
) -> StageVerdict | None:
    """Return the verdict on the version's present stage, None where a move needs none or nothing is archived."""
    stage = state.stage_of(version)
    if kind not in {MoveKind.CANARY, MoveKind.PROMOTE} or stage not in {Stage.SHADOW, Stage.CANARY} or newest is None:
        return None
    return candidate_verdict(Archive(ladder.settings.archive, ladder.settings.index_url), state, newest, policies)


def _served(ladder: OpenedLadder, begin: float) -> str:
    """Wait until the scoring service serves the ladder, and return how long that took or why it is not known."""
    state = ladder.mover.state()
    wanted = ServedVersions.of(state)
    if not ladder.settings.scoring_url:
        return "no scoring service is known: processes that follow the registry serve it within some seconds"
    try:
        with closing(ServedVersionClient(ladder.settings)) as client:
            found = poll(
                client.versions,
                until=lambda served: served == wanted,
                timeout_seconds=SERVING_TIMEOUT_SECONDS,
                poll_seconds=0.1,
            )
    except ScoringUnavailable as error:
        return f"the scoring service does not answer, and will serve it when it does: {error}"
    if found != wanted:
        return f"the scoring service does not serve it after {SERVING_TIMEOUT_SECONDS:g} s; see its log"
    return f"served {time.monotonic() - begin:.1f} s later"
