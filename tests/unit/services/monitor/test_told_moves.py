"""The monitor tells about every move once, whoever made it and whenever it was restarted."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from cardwatch.ladder.memory_log import MemoryMoveLog
from cardwatch.ladder.moves import MoveKind
from cardwatch.progress import ModelMoved
from services.monitor.ladder import LOOK_SECONDS, MonitoredLadder
from tests.ladders import MemoryProjection, mover_of
from tests.monitor_parts import Parts, on

NOTHING: Any = None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_moves_of_others_are_told_once_also_after_a_restart(tmp_path: Path) -> None:
    moves, clock, parts = MemoryMoveLog(), Clock(), Parts(tmp_path)
    mover = mover_of(MemoryProjection("1", "2", champion="1"), moves)

    def monitor() -> Any:
        ladder = MonitoredLadder(
            mover_of(MemoryProjection("1", "2", champion="1"), moves),
            NOTHING, NOTHING, NOTHING, NOTHING,
            now_seconds=clock,
        )  # fmt: skip
        return parts.monitor(ladder=ladder)

    def told() -> list[tuple[int, str, str, date]]:
        records = [record for record in parts.topic if isinstance(record, ModelMoved)]
        return [(each.number, each.kind, each.version, each.day) for each in records]

    first = monitor()
    first.work()
    assert told() == []
    mover.move(MoveKind.CHALLENGE, "2", actor="ann", reason="a test", day=on(3))
    clock.now += LOOK_SECONDS / 2
    first.work()
    assert told() == []  # it has looked a moment ago
    clock.now += LOOK_SECONDS
    first.work()
    first.work()
    assert [each[:3] for each in told()] == [(1, "adopt", "1"), (2, "challenge", "2")]
    assert told()[1][3] == on(3)

    second = monitor()
    for record in list(parts.topic):
        second.add(record)
    mover.move(MoveKind.SHADOW, "2", actor="bob", reason="a test", day=on(4))
    clock.now += 2 * LOOK_SECONDS
    second.work()
    assert [each[:3] for each in told()] == [(1, "adopt", "1"), (2, "challenge", "2"), (3, "shadow", "2")]
    assert [each.champion_version for each in parts.topic if isinstance(each, ModelMoved)] == ["1", "1", "1"]
