"""What a move log promises, whichever database it is in: SQLite in the home, PostgreSQL on a server, or memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from adapters.move_log.sql import FILE, SqlMoveLog
from adapters.runtime.ports import free_ports
from cardwatch.errors import CorruptMoves, Misconfigured, MoveConflict, MoveLogUnavailable
from cardwatch.ladder.memory_log import MemoryMoveLog
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import MoveKind, MoveLog, RecordedMove
from tests.ladders import MemoryProjection, mover_of

MOVERS = 8


def recorded(number: int, text: bytes = b"\x00move\xff") -> RecordedMove:
    return RecordedMove(number=number, content=text)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], MoveLog]:
    """Opens the same log again with each call, as another process would."""
    if request.param == "memory":
        log = MemoryMoveLog()
        return lambda: log
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()
    return lambda: SqlMoveLog(tmp_path / "home", url)


def test_a_new_log_is_empty(opened: Callable[[], MoveLog]) -> None:
    assert opened().moves() == []


def test_moves_come_back_to_the_byte_in_their_order(opened: Callable[[], MoveLog]) -> None:
    moves = [recorded(number, bytes([number]) * 300) for number in (1, 2, 3)]
    for move in moves:
        opened().append(move)
    assert opened().moves() == moves
    assert opened().moves(after=2) == moves[2:]
    assert opened().moves(after=3) == []


@pytest.mark.parametrize("number", [0, 1, 3, 4])
def test_a_number_that_is_not_the_next_one_is_refused_and_changes_nothing(
    opened: Callable[[], MoveLog], number: int
) -> None:
    opened().append(recorded(1))
    with pytest.raises(MoveConflict):
        opened().append(recorded(number, b"another"))
    assert opened().moves() == [recorded(1)]


def test_of_movers_at_the_same_moment_exactly_one_wins(opened: Callable[[], MoveLog]) -> None:
    """Eight processes retire the same canary or promote it: one move is recorded, and everybody sees it."""
    projection = MemoryProjection("1", "2", champion="1")
    first = Mover(opened(), projection, lambda: 0.0)
    for kind in (MoveKind.CHALLENGE, MoveKind.SHADOW, MoveKind.CANARY):
        share = 0.1 if kind is MoveKind.CANARY else None
        first.move(kind, "2", actor="ann", reason="a test", share=share)
    together = Barrier(MOVERS)

    def move(number: int) -> MoveKind | None:
        mover = Mover(opened(), MemoryProjection("1", "2", champion="1"), lambda: 0.0)
        seen = mover.state()
        together.wait()
        kind = MoveKind.PROMOTE if number % 2 else MoveKind.RETIRE
        try:
            mover.move(kind, "2", actor=f"mover {number}", reason="a race", expected=seen)
        except MoveConflict:
            return None
        return kind

    with ThreadPoolExecutor(MOVERS) as threads:
        won = [kind for kind in threads.map(move, range(MOVERS)) if kind is not None]
    assert len(won) == 1
    history = mover_of(projection, opened()).history()  # type: ignore[arg-type]
    assert [each.kind for each in history] == [
        MoveKind.ADOPT, MoveKind.CHALLENGE, MoveKind.SHADOW, MoveKind.CANARY, won[0],
    ]  # fmt: skip


def test_of_first_moves_at_the_same_moment_exactly_one_is_recorded(opened: Callable[[], MoveLog]) -> None:
    """The table does not exist yet, and every process tries to create it."""
    logs = [opened() for _ in range(MOVERS)]
    together = Barrier(MOVERS)

    def append(number: int) -> bool:
        together.wait()
        try:
            logs[number].append(recorded(1, bytes([number])))
        except MoveConflict:
            return False
        return True

    with ThreadPoolExecutor(MOVERS) as threads:
        won = [number for number, is_recorded in enumerate(threads.map(append, range(MOVERS))) if is_recorded]
    assert len(won) == 1
    assert opened().moves() == [recorded(1, bytes(won))]


def test_a_server_that_does_not_answer_is_retriable_and_no_message_holds_the_password(tmp_path: Path) -> None:
    [port] = free_ports(1)
    log = SqlMoveLog(tmp_path, f"postgresql://ann:secret@127.0.0.1:{port}/cardwatch")
    for call in (log.moves, lambda: log.append(recorded(1))):
        with pytest.raises(MoveLogUnavailable, match=f"the move log at 127.0.0.1:{port}") as told:
            call()
        assert "secret" not in str(told.value)


def test_a_move_that_somebody_replaced_by_a_text_is_corrupt(tmp_path: Path) -> None:
    log = SqlMoveLog(tmp_path)
    log.append(recorded(1))
    with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
        database.execute("UPDATE model_moves SET content = 'a text'")
    with pytest.raises(CorruptMoves, match="holds a move that is no bytes"):
        log.moves()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(Misconfigured, match=FILE):
        SqlMoveLog(tmp_path).moves()
