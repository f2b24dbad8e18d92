"""Going up by itself: what the policy allows a candidate after the newest recorded decisions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

from cardwatch.errors import MoveConflict, MoveRefused
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import Move, MoveKind
from cardwatch.ladder.policy import LadderPolicy
from cardwatch.ladder.rules import next_step, require_allowed
from cardwatch.ladder.stage_verdict import StageVerdict
from cardwatch.ladder.state import LadderState

ACTOR: Final = "ladder"
"""The actor of moves that nobody made by hand."""
_AMOUNT: Final = frozenset({"whole days", "days", "decisions", "frauds"})
"""Checks that only say that there is not enough evidence yet."""


def climb(
    mover: Mover,
    policy: LadderPolicy,
    *,
    day: date,
    verdict_of: Callable[[LadderState], StageVerdict | None],
) -> list[Move]:
    """Make the step that the policy allows the candidate at the end of `day`, and return it; [] if there is none.

    `verdict_of` returns the verdict on the candidate's present stage, None if it cannot be given here. With enough
    evidence, a verdict that has not passed retires the candidate: it would not pass later either, and nobody waits for
    a person in an automatic policy. A move of somebody else at the same time comes first.
    """
    state = mover.state()
    kind, candidate = next_step(state, policy), state.candidate
    if kind is None or candidate is None or not policy.automatic:
        return []
    evidence = None
    if state.served_candidate is not None:
        evidence = verdict_of(state)
        if evidence is None:
            return []
        if not evidence.passed and any(not check.passed for check in evidence.checks if check.name in _AMOUNT):
            return []
    try:
        if evidence is not None and not evidence.passed:
            reason = f"its verdict has not passed: {'; '.join(evidence.failures)}"
            kind, share = MoveKind.RETIRE, None
        else:
            require_allowed(state, policy, kind, candidate.version, evidence)
            share = policy.canary_share if kind is MoveKind.CANARY else None
            reason = "its verdict has passed" if evidence is not None else "it passed the offline verdict"
        return [
            mover.move(
                kind,
                candidate.version,
                actor=ACTOR,
                reason=reason[:500],
                share=share,
                day=day,
                evidence=evidence,
                expected=state,
            )
        ]
    except (MoveConflict, MoveRefused):
        return []


def enter(
    mover: Mover,
    policy: LadderPolicy,
    version: str,
    *,
    day: date,
    actor: str,
    reason: str,
    is_comparable: bool = True,
) -> list[Move]:
    """Let a version that has passed its offline verdict climb as far as the policy allows at once.

    Without a champion it becomes champion. With an automatic policy it goes into shadow, or is champion if the policy
    has no stages; behind a version that climbs it waits as challenger. `is_comparable` is False if the champion needs
    features that are no longer computed: it decides nothing, so there is nothing to compare with, and the version is
    promoted.
    """
    state = mover.state()
    if state.stage_of(version) is not None:
        return []  # the flow was repeated after a crash
    if state.champion is None:
        return [mover.move(MoveKind.ADOPT, version, actor=actor, reason=reason, day=day)]
    first = mover.move(MoveKind.CHALLENGE, version, actor=actor, reason=reason, day=day)
    state = mover.state()
    if not is_comparable:
        because = "the champion needs features that are no longer computed"
        return [first, mover.move(MoveKind.PROMOTE, version, actor=actor, reason=because, day=day)]
    if state.served_candidate is not None:
        return [first]
    return [first, *climb(mover, policy, day=day, verdict_of=lambda _state: None)]
