"""A worker that is held before a step of the commit order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from adapters.runtime.step_hold import HELD_STEPS, HeldWorker, StepHold
from cardwatch.errors import Misconfigured
from services.stream.metrics import STEPS
from tests.deadlines import Deadline


def wait_for(holds: Event) -> None:
    assert holds.wait(30.0)


def test_without_a_request_a_worker_goes_on_at_once(tmp_path: Path) -> None:
    turns: list[None] = []
    StepHold(tmp_path).wait_before("commit", Event(), lambda: turns.append(None))
    assert turns == []
    assert StepHold(tmp_path).held() is None


def test_a_worker_stands_still_before_the_step_until_it_is_released(tmp_path: Path) -> None:
    hold, stands = StepHold(tmp_path / "run"), Event()
    hold.ask("apply")
    hold.wait_before("commit", Event(), stands.set)  # another step
    assert not stands.is_set()
    worker = Thread(target=hold.wait_before, args=("apply", Event(), stands.set))
    worker.start()
    wait_for(stands)
    assert hold.held() == HeldWorker("apply", os.getpid())
    hold.release()
    worker.join(30.0)
    assert not worker.is_alive()
    assert (hold.held(), hold.asked()) == (None, None)


def test_a_worker_that_shall_stop_does_not_stand_still(tmp_path: Path) -> None:
    hold, stopping, stands = StepHold(tmp_path), Event(), Event()
    hold.ask("fold")
    worker = Thread(target=hold.wait_before, args=("fold", stopping, stands.set))
    worker.start()
    wait_for(stands)
    stopping.set()
    worker.join(30.0)
    assert not worker.is_alive()
    assert hold.held() is None


def test_a_killed_worker_does_not_stand_still_any_more(tmp_path: Path) -> None:
    hold = StepHold(tmp_path)
    hold.ask("apply")
    program = (
        "import sys, threading, pathlib; from adapters.runtime.step_hold import StepHold; "
        "StepHold(pathlib.Path(sys.argv[1])).wait_before('apply', threading.Event(), lambda: None)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    deadline = Deadline(30.0)
    while (held := hold.held()) is None and not deadline.has_passed():
        pass
    assert held == HeldWorker("apply", worker.pid)
    worker.kill()
    worker.wait()
    assert hold.held() is None
    assert hold.asked() == "apply"


def test_an_unknown_step_is_refused_with_the_steps_that_exist(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"no step 'sleep', only fold, score, policy, commit, apply"):
        StepHold(tmp_path).ask("sleep")
    assert StepHold(tmp_path).asked() is None


def test_the_steps_are_those_of_the_worker() -> None:
    assert tuple(step for step in STEPS if step != "wait") == HELD_STEPS
