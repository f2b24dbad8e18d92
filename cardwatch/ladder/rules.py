"""What the policy allows beyond what is possible: evidence for each step up, and the approval of a person."""

from __future__ import annotations

from cardwatch.errors import MoveRefused
from cardwatch.ladder.moves import MoveKind
from cardwatch.ladder.policy import LadderPolicy
from cardwatch.ladder.stage_verdict import StageVerdict
from cardwatch.ladder.state import LadderState, Stage


def next_step(state: LadderState, policy: LadderPolicy) -> MoveKind | None:
    """Return the next step up of the candidate, None if there is no candidate. Stages of 0 days are left out."""
    if state.canary is not None:
        return MoveKind.PROMOTE
    if state.shadow is not None:
        return MoveKind.CANARY if policy.canary_days else MoveKind.PROMOTE
    if state.challenger is not None:
        if policy.shadow_days:
            return MoveKind.SHADOW
        return MoveKind.CANARY if policy.canary_days else MoveKind.PROMOTE
    return None


def require_allowed(
    state: LadderState, policy: LadderPolicy, kind: MoveKind, version: str, evidence: StageVerdict | None
) -> None:
    """Raise `MoveRefused` if the policy does not allow this step up now. Steps down are always allowed.

    A canary or a champion needs the passed verdict of its stage before, and the approval of a person if the policy
    wants one.
    """
    stage = state.stage_of(version)
    if kind not in {MoveKind.CANARY, MoveKind.PROMOTE} or stage not in {Stage.CHALLENGER, Stage.SHADOW, Stage.CANARY}:
        return
    placed = getattr(state, str(stage))
    if policy.approval and not placed.is_approved:
        raise MoveRefused(
            f"version {version} needs the approval of a person before it may decide (ladder.approval in the policy): "
            f"`cardwatch model approve {version} --reason ...`"
        )
    needed = _stages_before(kind, policy)
    if stage is Stage.CHALLENGER and needed:
        raise MoveRefused(f"version {version} is challenger, and must have been {' and '.join(needed)} first")
    if stage is Stage.SHADOW and kind is MoveKind.PROMOTE and policy.canary_days:
        raise MoveRefused(f"version {version} is in shadow, and must have been canary first")
    if stage is Stage.CHALLENGER or (stage is Stage.CANARY and kind is MoveKind.CANARY):
        return
    if evidence is None or not evidence.passed:
        failures = ["it was not computed"] if evidence is None else evidence.failures or ["there is nothing to check"]
        raise MoveRefused(f"the verdict on version {version} in {stage} has not passed: {'; '.join(failures)}")


def _stages_before(kind: MoveKind, policy: LadderPolicy) -> list[str]:
    shadow = ["in shadow"] if policy.shadow_days else []
    return shadow if kind is MoveKind.CANARY else shadow + (["canary"] if policy.canary_days else [])
