"""What a version does by itself: it enters, it goes up with a passed verdict, and it leaves with a failed one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from cardwatch.ladder.climbing import climb, enter
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import MoveKind
from cardwatch.ladder.policy import LadderPolicy
from cardwatch.ladder.stage_verdict import StageCheck, StageVerdict
from cardwatch.ladder.state import LadderState, Stage
from tests.ladders import MemoryProjection, mover_of

DAY = date(2026, 3, 1)
POLICY = LadderPolicy(canary_share=0.2)


@pytest.fixture
def mover() -> Mover:
    return mover_of(MemoryProjection("1", "2", "3", champion="1"))


def verdict(**passed: bool) -> Callable[[LadderState], StageVerdict]:
    checks = [
        StageCheck(name=name.replace("_", " "), passed=value, sentence=f"{name} is {value}")
        for name, value in passed.items()
    ]
    return lambda _state: StageVerdict(checks=checks, rows=1_000)


def entered(mover: Mover, policy: LadderPolicy = POLICY, version: str = "2") -> list[MoveKind]:
    return [move.kind for move in enter(mover, policy, version, day=DAY, actor="retraining", reason="it is better")]


def after_day(mover: Mover, policy: LadderPolicy = POLICY, **passed: bool) -> list[MoveKind]:
    return [move.kind for move in climb(mover, policy, day=DAY, verdict_of=verdict(**passed))]


def test_a_better_challenger_goes_into_shadow_then_canary_then_becomes_champion(mover: Mover) -> None:
    assert entered(mover) == [MoveKind.CHALLENGE, MoveKind.SHADOW]
    assert after_day(mover, whole_days=True, alerts=True) == [MoveKind.CANARY]
    assert mover.state().canary_share == 0.2
    assert after_day(mover, days=True, alerts=True) == [MoveKind.PROMOTE]
    assert mover.state().stage_of("2") is Stage.CHAMPION
    promoted = mover.history()[-1]
    assert (promoted.actor, promoted.day) == ("ladder", DAY)
    assert promoted.evidence is not None
    assert [check.name for check in promoted.evidence.checks] == ["days", "alerts"]


def test_it_waits_while_there_is_too_little_evidence_and_leaves_with_enough_evidence_against_it(mover: Mover) -> None:
    entered(mover)
    assert after_day(mover, whole_days=False, alerts=False) == []
    assert after_day(mover, whole_days=True, alerts=False) == [MoveKind.RETIRE]
    assert mover.state().stage_of("2") is Stage.RETIRED
    assert mover.history()[-1].reason == "its verdict has not passed: alerts is False"


def test_the_first_champion_needs_no_stages(mover: Mover) -> None:
    empty = mover_of(MemoryProjection("1"))
    assert entered(empty, version="1") == [MoveKind.ADOPT]
    assert empty.state().stage_of("1") is Stage.CHAMPION


def test_a_policy_without_stages_promotes_at_once(mover: Mover) -> None:
    assert entered(mover, LadderPolicy(shadow_days=0, canary_days=0)) == [MoveKind.CHALLENGE, MoveKind.PROMOTE]


def test_a_policy_without_a_shadow_begins_with_the_canary(mover: Mover) -> None:
    assert entered(mover, LadderPolicy(shadow_days=0)) == [MoveKind.CHALLENGE, MoveKind.CANARY]


def test_without_a_canary_the_shadow_is_promoted(mover: Mover) -> None:
    policy = LadderPolicy(canary_days=0)
    entered(mover, policy)
    assert after_day(mover, policy, whole_days=True) == [MoveKind.PROMOTE]


def test_a_second_challenger_waits_and_goes_into_shadow_when_the_way_is_free(mover: Mover) -> None:
    entered(mover)
    assert entered(mover, version="3") == [MoveKind.CHALLENGE]
    assert after_day(mover, whole_days=True) == [MoveKind.CANARY]
    assert after_day(mover, days=True) == [MoveKind.PROMOTE]
    assert after_day(mover, days=True) == [MoveKind.SHADOW]
    assert mover.state().stage_of("3") is Stage.SHADOW


def test_a_flow_that_is_repeated_after_a_crash_does_not_enter_twice(mover: Mover) -> None:
    entered(mover)
    assert entered(mover) == []


def test_an_approval_is_waited_for_between_shadow_and_canary(mover: Mover) -> None:
    policy = LadderPolicy(approval=True)
    entered(mover, policy)
    assert after_day(mover, policy, whole_days=True) == []
    mover.move(MoveKind.APPROVE, "2", actor="ann", reason="she has read the model card")
    assert after_day(mover, policy, whole_days=True) == [MoveKind.CANARY]
    assert after_day(mover, policy, days=True) == [MoveKind.PROMOTE]


def test_a_policy_that_is_not_automatic_leaves_every_step_to_a_person(mover: Mover) -> None:
    policy = LadderPolicy(automatic=False)
    assert entered(mover, policy) == [MoveKind.CHALLENGE]
    assert after_day(mover, policy, whole_days=True) == []


def test_beside_a_champion_that_decides_nothing_a_version_is_promoted_at_once(mover: Mover) -> None:
    moves = enter(mover, POLICY, "2", day=DAY, actor="retraining", reason="better", is_comparable=False)
    assert [move.kind for move in moves] == [MoveKind.CHALLENGE, MoveKind.PROMOTE]
