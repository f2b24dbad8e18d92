"""`cardwatch bootstrap`: what it waits for, when it asks for the flow, and that it starts nothing twice."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import date, timedelta
from threading import Event

import pytest

from adapters.prefect import RunState
from adapters.runtime.health import Health
from adapters.runtime.process import Process
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError, OrchestratorUnavailable
from cardwatch.progress import Bootstrapped, DayArchived, Progress
from cli import bootstrap as command

CHAMPION = Bootstrapped(day=date(2025, 1, 31), champion_version="1", average_precision=0.5)


def archived(count: int) -> list[Progress]:
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(count)]
    return [DayArchived(day=day, transactions=0, decisions=0, labels=0, table_id="") for day in days]


class World:
    """Topic, registry, scoring service and Prefect server as the command sees them."""

    def __init__(self) -> None:
        self.told: list[Progress] = []
        self.asked: list[str | None] = []
        self.states = ["COMPLETED"]
        self.away = 0
        self.served: str | None = "1"

    def poll(self, _seconds: float) -> Progress | None:
        return self._waiting.pop(0)

    def caught_up(self) -> bool:
        return not self._waiting

    def progress(self, _bootstrap: str) -> World:
        self._waiting = list(self.told)
        return self

    def run(self, name: str, parameters: Mapping[str, object], *, key: str | None = None) -> str:
        assert (name, parameters) == ("bootstrap/local", {})
        self.asked.append(key)
        return "the-run"

    def state(self, _run: str) -> RunState:
        if self.away:
            self.away -= 1
            raise OrchestratorUnavailable("Prefect is away")
        kind = self.states.pop(0)
        if kind == "COMPLETED":
            self.told.append(CHAMPION)
        return RunState(kind=kind, name=kind.title(), message="")

    def wait(self, run: str, *, timeout_seconds: float) -> None:
        pass

    def aliases(self) -> dict[str, str]:
        return {}

    def version(self) -> str | None:
        return self.served

    def close(self) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(command, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(command, "ensure_topics", lambda *_, **__: None)
    monkeypatch.setattr(command, "ProgressReader", world.progress)
    for name in ("MlflowRegistry", "PrefectDeployments", "ServedVersionClient"):
        monkeypatch.setattr(command, name, lambda _settings: world)
    return world


def work(*, process: Process | None = None, wait_seconds: float = 30.0) -> Process:
    process = process or Process(Settings(), Health(), Event())
    deadline = time.monotonic() + wait_seconds
    process.keep_working(lambda: command.work(process, 30, deadline, "one-key"), retry_seconds=0.001)
    return process


def test_the_flow_is_asked_for_once_enough_days_are_archived(world: World) -> None:
    world.told = archived(30)
    work()
    assert world.asked == ["one-key"]


def test_where_there_is_a_champion_nothing_is_asked_for(world: World) -> None:
    world.told = [*archived(30), CHAMPION]
    work()
    assert world.asked == []


def test_a_prefect_server_that_is_away_meanwhile_costs_no_second_run(world: World) -> None:
    world.told, world.away, world.states = archived(30), 2, ["RUNNING", "COMPLETED"]
    work()
    assert set(world.asked) == {"one-key"}  # the same key is the same run


def test_too_few_days_are_named_when_the_time_is_over(world: World) -> None:
    world.told = [*archived(29), *archived(5)]  # a day that is told twice counts once
    process = Process(Settings(), Health(), Event())
    with pytest.raises(CardwatchError, match="only 29 of 30 days of history are archived"):
        work(process=process, wait_seconds=0.05)
    assert process.health.why_not_ready == "29 of 30 days of history are archived"
    assert world.asked == []


def test_a_champion_that_is_not_served_is_waited_for_until_the_time_is_over(world: World) -> None:
    world.told, world.served = [CHAMPION], None
    with pytest.raises(CardwatchError, match=r"waited in vain: the scoring service at .* serves no champion yet"):
        work(wait_seconds=0.05)


def test_asked_to_stop_it_trains_nothing(world: World) -> None:
    process = Process(Settings(), Health(), Event())
    process.stopping.set()
    assert command.is_done(process, 30, time.monotonic() + 30.0)
    assert world.asked == []


def test_it_is_quick_to_start_for_it_imports_nothing_heavy() -> None:
    heavy = ("mlflow", "prefect", "evidently", "pandas", "pyarrow", "xgboost", "sklearn")
    program = f"import sys, cli.bootstrap; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"
