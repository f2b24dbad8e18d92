"""The processes of the stack as the console sees them, and the commands that do what its buttons do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome, StackStatus
from adapters.runtime.clock import epoch_ms
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.retry import poll
from adapters.runtime.settings import read_settings
from cardwatch.live.frames import BoxState
from cli import main
from services.console.processes import LONGEST_FREEZE_SECONDS, StackProcesses

PAGE = Path(__file__).parents[4] / "services" / "console" / "page" / "src"
_TYPED = re.compile(r"cardwatch ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)")
WORKER = "stream-2"
WAIT_SECONDS = 10.0


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[StackProcesses]:
    """A stack that this process owns, with one process `stream-2`, which sleeps."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        home = StackHome(read_settings({}, home=tmp_path))
        (home.folder / "run").mkdir(parents=True)
        owner = ProcessIdentity.of(os.getpid())
        StackRecord(owner=owner, processes={WORKER: ProcessIdentity.of(process.pid)}).write(home.folder / "stack.json")
        endpoints = {WORKER: ProcessEndpoint("127.0.0.1:1", "")}
        home.write(StackStatus(owner=owner, environment={}, own_variables=[], endpoints=endpoints))
        yield StackProcesses(home, KafkaConnection(""))
    finally:
        process.kill()
        process.wait()


def parsed(command: str) -> dict[str, object]:
    """The parameters of a command line, as `cardwatch` takes them; fails if it does not."""
    words = command.split()
    assert words.pop(0) == "cardwatch"
    found: click.Command = main.main
    context = main.main.make_context("cardwatch", ["--"], resilient_parsing=True)
    while isinstance(found, click.Group):
        name = words.pop(0)
        subcommand = found.get_command(context, name)
        assert subcommand is not None, command
        found = subcommand
    return {"command": found.name, **found.make_context(found.name, words).params}


def test_the_commands_of_a_process_are_those_of_its_faults(processes: StackProcesses) -> None:
    [worker] = processes.observe()
    assert {action: parsed(command) for action, command in worker.commands.items()} == {
        "kill": {"command": "on", "name": "kill-stream-2", "seconds": None},
        "freeze": {"command": "on", "name": "freeze-stream-2", "seconds": 600.0},
        "resume": {"command": "off", "name": "freeze-stream-2"},
    }


def test_a_process_that_is_frozen_from_its_box_is_resumed_after_the_time_of_its_command(
    processes: StackProcesses,
) -> None:
    before_ms = epoch_ms()
    processes.act(WORKER, "freeze")
    assert poll(lambda: processes.observe()[0].state is BoxState.FROZEN, timeout_seconds=WAIT_SECONDS)
    until_ms = processes.frozen_until_ms(WORKER)
    assert until_ms is not None
    assert 0.0 <= until_ms - before_ms - 1000.0 * LONGEST_FREEZE_SECONDS < 60_000.0
    processes.act(WORKER, "resume")
    assert processes.frozen_until_ms(WORKER) is None


def test_the_log_has_a_command_too(processes: StackProcesses) -> None:
    assert processes.log_command(WORKER) == "cardwatch logs stream-2"
    assert parsed(processes.log_command(WORKER))["command"] == "logs"


def test_every_command_that_the_page_names_exists() -> None:
    sources = [*PAGE.rglob("*.ts"), *PAGE.rglob("*.tsx")]
    named = {match for file in sources for match in _TYPED.findall(file.read_text(encoding="utf-8"))}
    assert {"dead-letters", "label", "send", "decisions show", "steps hold", "steps release", "fault on"} <= named
    context = main.main.make_context("cardwatch", ["--"], resilient_parsing=True)
    for name, _, rest in (each.partition(" ") for each in named):
        command = main.main.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group) and rest:
            assert rest in command.list_commands(context) or command.invoke_without_command, (name, rest)
