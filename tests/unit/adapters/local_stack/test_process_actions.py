"""Kill, freeze and resume of real processes, and who resumes what was frozen for a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.local_stack.process_actions import (
    Freeze,
    TimedFreezes,
    act_on_process,
    is_frozen,
    process_fault_of,
)
from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.stack_home import StackHome
from adapters.runtime.retry import poll
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured

SLEEP = "import time; time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"
WAIT_SECONDS = 10.0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple[StackHome, subprocess.Popen[bytes]]]:
    """A stack that this process owns, with one process `monitor` that has a child."""
    process = subprocess.Popen([sys.executable, "-c", PARENT], start_new_session=True)
    home = StackHome(read_settings({}, home=tmp_path))
    (home.folder / "run").mkdir(parents=True)
    identity = ProcessIdentity.of(process.pid)
    record = StackRecord(owner=ProcessIdentity.of(os.getpid()), processes={"monitor": identity, "console": identity})
    record.write(home.folder / "stack.json")
    try:
        yield home, process
    finally:
        process.kill()
        process.wait()


def children(home: StackHome) -> list[int]:
    return act_on_process(home, "monitor", "resume")[1:]


def test_a_kill_ends_the_process_and_its_descendants(stack: tuple[StackHome, subprocess.Popen[bytes]]) -> None:
    home, process = stack
    assert poll(lambda: bool(children(home)), timeout_seconds=WAIT_SECONDS)
    [child] = children(home)
    identity = ProcessIdentity.of(child)
    assert act_on_process(home, "monitor", "kill") == [process.pid, child]
    assert process.wait(WAIT_SECONDS) < 0
    assert poll(lambda: not identity.alive, timeout_seconds=WAIT_SECONDS)


def test_a_process_that_is_frozen_for_a_time_is_resumed_then_and_not_before(
    stack: tuple[StackHome, subprocess.Popen[bytes]],
) -> None:
    home, process = stack
    identity = ProcessIdentity.of(process.pid)
    TimedFreezes(home).freeze("monitor", 5_000.0)
    assert poll(lambda: is_frozen(identity), timeout_seconds=WAIT_SECONDS)
    other = TimedFreezes(home)  # whoever has frozen it may have ended
    assert other.until_ms("monitor") == 5_000.0
    assert (other.resume_due(4_999.0), is_frozen(identity)) == ([], True)
    assert other.resume_due(5_000.0) == ["monitor"]
    assert poll(lambda: not is_frozen(identity), timeout_seconds=WAIT_SECONDS)
    assert (other.until_ms("monitor"), other.resume_due(9_999.0)) == (None, [])


def test_a_process_that_is_resumed_by_hand_is_forgotten(stack: tuple[StackHome, subprocess.Popen[bytes]]) -> None:
    home, process = stack
    freezes = TimedFreezes(home)
    freezes.freeze("monitor", 5_000.0)
    freezes.resume("monitor")
    assert poll(lambda: not is_frozen(ProcessIdentity.of(process.pid)), timeout_seconds=WAIT_SECONDS)
    assert freezes.resume_due(9_999.0) == []


def test_a_process_that_has_ended_while_it_was_frozen_is_forgotten(
    stack: tuple[StackHome, subprocess.Popen[bytes]],
) -> None:
    home, process = stack
    freezes = TimedFreezes(home)
    freezes.freeze("monitor", 5_000.0)
    process.kill()
    process.wait()
    assert freezes.until_ms("monitor") is None
    assert freezes.resume_due(5_000.0) == ["monitor"]


@pytest.mark.parametrize(
    ("name", "action"), [("console", "kill"), ("bootstrap", "freeze"), ("1", "kill"), ("monitor", "explode")]
)
def test_nothing_else_is_touched(stack: tuple[StackHome, subprocess.Popen[bytes]], name: str, action: str) -> None:
    home, process = stack
    with pytest.raises(Misconfigured):
        act_on_process(home, name, action)
    assert process.poll() is None


def test_without_a_running_stack_nothing_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no stack runs"):
        TimedFreezes(StackHome(read_settings({}, home=tmp_path))).freeze("monitor", 5_000.0)


@pytest.mark.parametrize("name", ["burst", "late-labels", "kill", "resume-monitor", ""])
def test_other_names_are_no_faults_of_processes(name: str) -> None:
    assert process_fault_of(name) is None


def test_a_freeze_that_somebody_lengthens_at_its_end_lasts(
    stack: tuple[StackHome, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, process = stack
    identity = ProcessIdentity.of(process.pid)
    freezes, other = TimedFreezes(home), TimedFreezes(home)
    freezes.freeze("monitor", 5_000.0)
    read = freezes._read
    looks = iter([lambda: other.freeze("monitor", 9_000.0)])  # between the look for what is over and its end

    def read_and_be_overtaken() -> dict[str, Freeze]:
        found = read()
        for lengthen in looks:
            lengthen()
        return found

    monkeypatch.setattr(freezes, "_read", read_and_be_overtaken)
    assert (freezes.resume_due(5_000.0), is_frozen(identity)) == ([], True)
    assert freezes.resume_due(9_000.0) == ["monitor"]
