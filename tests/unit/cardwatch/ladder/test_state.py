"""The ladder after moves: what is possible on each stage, and that a changed log is noticed."""

from __future__ import annotations

import pytest
from msgspec import structs

from cardwatch.errors import CorruptMoves, MoveConflict, MoveRefused
from cardwatch.ladder.memory_log import MemoryMoveLog
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import MoveKind, RecordedMove, decode_move, encode_move
from cardwatch.ladder.state import LadderState, Stage, ladder_after
from tests.ladders import MemoryProjection, mover_of, registered


@pytest.fixture
def moves() -> MemoryMoveLog:
    return MemoryMoveLog()


@pytest.fixture
def mover(moves: MemoryMoveLog) -> Mover:
    return mover_of(MemoryProjection("1", "2", "3", "4", champion="1"), moves)


def do(mover: Mover, kind: MoveKind, version: str, share: float | None = None) -> None:
    mover.move(kind, version, actor="ann", reason="a test", share=share)


def climbed(mover: Mover, version: str, *kinds: MoveKind) -> None:
    for kind in kinds:
        do(mover, kind, version, 0.1 if kind is MoveKind.CANARY else None)


TO_CANARY = (MoveKind.CHALLENGE, MoveKind.SHADOW, MoveKind.CANARY)


def stages(state: LadderState) -> dict[str, str]:
    return {
        stage: placed.version
        for stage in ("challenger", "shadow", "canary", "champion", "previous")
        if (placed := getattr(state, stage)) is not None
    }


def test_a_version_climbs_from_challenger_to_champion_and_the_former_champion_is_previous(mover: Mover) -> None:
    climbed(mover, "2", MoveKind.CHALLENGE)
    assert stages(mover.state()) == {"champion": "1", "challenger": "2"}
    climbed(mover, "2", MoveKind.SHADOW)
    assert stages(mover.state()) == {"champion": "1", "shadow": "2"}
    climbed(mover, "2", MoveKind.CANARY)
    assert (stages(mover.state()), mover.state().canary_share) == ({"champion": "1", "canary": "2"}, 0.1)
    climbed(mover, "2", MoveKind.PROMOTE)
    assert (stages(mover.state()), mover.state().canary_share) == ({"champion": "2", "previous": "1"}, None)


def test_a_champion_of_a_registry_without_moves_is_adopted_by_the_first_move(
    mover: Mover, moves: MemoryMoveLog
) -> None:
    assert stages(mover.state()) == {"champion": "1"}
    assert moves.moves() == []
    climbed(mover, "2", MoveKind.CHALLENGE)
    first, second = mover.history()
    assert (first.kind, first.version, first.actor) == (MoveKind.ADOPT, "1", "cardwatch")
    assert (second.kind, second.version, second.number) == (MoveKind.CHALLENGE, "2", 2)


def test_a_rollback_restores_the_previous_champion_and_retires_the_present_one(mover: Mover) -> None:
    climbed(mover, "2", *TO_CANARY, MoveKind.PROMOTE)
    do(mover, MoveKind.ROLLBACK, "1")
    assert stages(mover.state()) == {"champion": "1"}
    assert mover.state().stage_of("2") is Stage.RETIRED
    with pytest.raises(MoveRefused, match="there is no previous champion"):
        do(mover, MoveKind.ROLLBACK, "1")


def test_after_a_rollback_a_canary_decides_nothing_until_it_was_compared_with_the_restored_champion(
    mover: Mover,
) -> None:
    climbed(mover, "2", *TO_CANARY, MoveKind.PROMOTE)
    climbed(mover, "3", *TO_CANARY)
    do(mover, MoveKind.ROLLBACK, "1")
    assert (stages(mover.state()), mover.state().canary_share) == ({"champion": "1", "shadow": "3"}, None)


def test_a_canary_steps_down_to_the_shadow_and_a_retired_version_may_be_challenger_again(mover: Mover) -> None:
    climbed(mover, "2", *TO_CANARY)
    do(mover, MoveKind.SHADOW, "2")
    assert (stages(mover.state()), mover.state().canary_share) == ({"champion": "1", "shadow": "2"}, None)
    do(mover, MoveKind.RETIRE, "2")
    assert stages(mover.state()) == {"champion": "1"}
    do(mover, MoveKind.CHALLENGE, "2")
    assert stages(mover.state()) == {"champion": "1", "challenger": "2"}
    assert mover.state().retired == frozenset()


def test_one_version_climbs_at_a_time_and_a_newer_challenger_supersedes_a_waiting_one(mover: Mover) -> None:
    climbed(mover, "2", MoveKind.CHALLENGE, MoveKind.SHADOW)
    climbed(mover, "3", MoveKind.CHALLENGE)
    with pytest.raises(MoveRefused, match="version 2 is shadow, and one version climbs at a time"):
        do(mover, MoveKind.SHADOW, "3")
    climbed(mover, "4", MoveKind.CHALLENGE)
    assert stages(mover.state()) == {"champion": "1", "shadow": "2", "challenger": "4"}
    assert mover.state().stage_of("3") is Stage.RETIRED


def test_a_share_is_changed_by_another_move_and_the_same_share_is_refused(mover: Mover) -> None:
    climbed(mover, "2", *TO_CANARY)
    do(mover, MoveKind.CANARY, "2", 0.5)
    assert mover.state().canary_share == 0.5
    with pytest.raises(MoveRefused, match="version 2 decides 50% of the cards already"):
        do(mover, MoveKind.CANARY, "2", 0.5)


@pytest.mark.parametrize(
    ("kind", "version", "reason"),
    [
        (MoveKind.SHADOW, "2", "it is not on the ladder, and must be challenger or canary"),
        (MoveKind.PROMOTE, "2", "it is not on the ladder"),
        (MoveKind.RETIRE, "1", "it is champion"),
        (MoveKind.CHALLENGE, "1", "it is champion, and must be new or retired"),
        (MoveKind.ROLLBACK, "2", "there is no previous champion"),
        (MoveKind.SHADOW, "9", "version 9 is not in the registry"),
    ],
)
def test_an_impossible_move_is_refused_and_records_nothing(
    mover: Mover, moves: MemoryMoveLog, kind: MoveKind, version: str, reason: str
) -> None:
    climbed(mover, "3", MoveKind.CHALLENGE)
    before = moves.moves()
    with pytest.raises(MoveRefused, match=reason):
        do(mover, kind, version)
    assert moves.moves() == before


def test_a_version_whose_files_were_exchanged_since_it_entered_is_refused(moves: MemoryMoveLog) -> None:
    projection = MemoryProjection("1", "2", champion="1")
    mover = mover_of(projection, moves)
    climbed(mover, "2", MoveKind.CHALLENGE)
    projection.versions["2"] = structs.replace(registered("2"), tags={"digest": "another"})
    with pytest.raises(MoveRefused, match="has digest another, and had digest of 2 when it became challenger"):
        do(mover, MoveKind.SHADOW, "2")


def test_of_two_movers_with_the_same_view_one_wins_and_the_other_is_told_to_look_again(moves: MemoryMoveLog) -> None:
    projection = MemoryProjection("1", "2", "3", champion="1")
    first, second = mover_of(projection, moves), mover_of(projection, moves)
    climbed(first, "2", MoveKind.CHALLENGE)
    seen = second.state()
    climbed(first, "2", MoveKind.SHADOW)
    with pytest.raises(MoveConflict, match="move 3 was made meanwhile"):
        second.move(MoveKind.RETIRE, "2", actor="bob", reason="a test", expected=seen)
    assert stages(second.state()) == {"champion": "1", "shadow": "2"}


def test_the_projection_that_a_crash_left_behind_is_repaired_by_whoever_looks_next(moves: MemoryMoveLog) -> None:
    class DiesBeforeItProjects(MemoryProjection):
        def project(self, state: LadderState) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        climbed(mover_of(DiesBeforeItProjects("1", "2", champion="1"), moves), "2", MoveKind.CHALLENGE)
    projection = MemoryProjection("1", "2", champion="1")
    other = mover_of(projection, moves)
    assert other.repair() is True
    assert projection.shown is not None
    assert stages(projection.shown) == {"champion": "1", "challenger": "2"}
    assert other.repair() is False


def changed(recorded: RecordedMove, **fields: object) -> RecordedMove:
    content = encode_move(structs.replace(decode_move(recorded), **fields))
    return structs.replace(recorded, content=content)


@pytest.mark.parametrize("position", range(3))
def test_a_move_that_was_changed_left_out_or_repeated_is_noticed(
    mover: Mover, moves: MemoryMoveLog, position: int
) -> None:
    climbed(mover, "2", *TO_CANARY)
    log = moves.moves()
    with pytest.raises(CorruptMoves):
        ladder_after([*log[:position], changed(log[position], reason="another"), *log[position + 1 :]])
    with pytest.raises(CorruptMoves):
        ladder_after([*log[:position], *log[position + 1 :]])
    with pytest.raises(CorruptMoves):
        ladder_after([*log[: position + 1], *log[position:]])


def test_bytes_that_are_no_move_are_named(moves: MemoryMoveLog) -> None:
    with pytest.raises(CorruptMoves, match="move 1 cannot be read"):
        ladder_after([RecordedMove(number=1, content=b"{}")])
