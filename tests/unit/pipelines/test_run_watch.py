"""What the flow runner makes of a server that is away, forgets, or waits for runs that nobody is at work on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from adapters.prefect import FlowRun, RunState
from adapters.runtime.health import Health
from cardwatch.errors import OrchestratorUnavailable
from pipelines.metrics import FlowRunMetrics
from pipelines.run_watch import FORGOTTEN, REGISTERING, RunWatch

NAME = "retrain/local"


class Server:
    """Knows one deployment and its runs, the newest first; `when_asked` is called with every question for runs."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.seconds = 0.0
        self.is_away = self.has_forgotten = False
        self.when_asked: Callable[[], None] = lambda: None

    def exists(self, name: str) -> bool:
        if self.is_away:
            raise OrchestratorUnavailable("nobody answers")
        return name == NAME and not self.has_forgotten

    def runs(self, name: str) -> list[FlowRun]:
        self.when_asked()
        if self.is_away:
            raise OrchestratorUnavailable("nobody answers")
        return [
            FlowRun(run_id=run, state=RunState(kind=kind, name=kind.title(), message=""), seconds=self.seconds)
            for run, kind in reversed(self.states.items())
        ]

    def crash(self, run_id: str, why: str) -> None:
        self.states[run_id] = "CRASHED"


class Slots:
    """A runner that is at work on something, or not."""

    def __init__(self, *, is_idle: bool = True) -> None:
        self.is_idle = is_idle

    def has_slots_available(self) -> bool:
        return self.is_idle


class Bench:
    """A watch over a server, and what it tells."""

    def __init__(self) -> None:
        self.server, self.health, self.counted = Server(), Health(), CollectorRegistry()
        self.watch = RunWatch(self.server, [NAME], self.health, FlowRunMetrics(self.counted))

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            asyncio.run(self.watch.look())

    def count(self, state: str) -> float | None:
        return self.counted.get_sample_value("cardwatch_pipelines_runs", {"flow": "retrain", "state": state})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_ready_while_the_server_knows_what_is_served(bench: Bench) -> None:
    bench.look()
    assert bench.health.why_not_ready == REGISTERING
    bench.watch.serves(Slots())
    bench.look()
    assert bench.health.why_not_ready is None
    bench.watch.serves_no_longer("the runner gave up")
    bench.look()
    assert bench.health.why_not_ready == "the runner gave up"


def test_a_server_that_is_away_is_waited_for_and_an_idle_runner_replaced(bench: Bench) -> None:
    bench.watch.serves(Slots())
    bench.server.is_away = True
    bench.look()
    assert bench.health.why_not_ready == "nobody answers"
    assert bench.watch.is_over


def test_a_run_in_progress_is_not_ended_because_the_server_is_away_for_a_while(bench: Bench) -> None:
    bench.watch.serves(Slots(is_idle=False))
    bench.server.is_away = True
    bench.look(3)
    assert not bench.watch.is_over
    bench.server.is_away = False
    bench.look()
    assert bench.health.why_not_ready is None


def test_a_server_that_has_forgotten_the_deployments_is_to_be_told_them_again(bench: Bench) -> None:
    bench.watch.serves(Slots(is_idle=False))
    bench.server.has_forgotten = True
    bench.look()
    assert bench.watch.is_over
    assert bench.health.why_not_ready == FORGOTTEN
    bench.watch.serves_no_longer()
    bench.look()
    assert bench.health.why_not_ready == REGISTERING
    bench.server.has_forgotten = False
    bench.watch.serves(Slots())
    bench.look()
    assert not bench.watch.is_over
    assert bench.health.why_not_ready is None


def test_what_was_not_known_before_it_was_registered_is_not_forgotten(bench: Bench) -> None:
    bench.server.has_forgotten = True
    bench.server.when_asked = lambda: bench.watch.serves(Slots())
    bench.look()
    assert not bench.watch.is_over


def test_a_new_runner_gives_up_what_an_earlier_one_had_begun_and_nothing_else(bench: Bench) -> None:
    bench.server.states = {
        "a": "RUNNING", "b": "PENDING", "c": "CANCELLING", "d": "SCHEDULED", "e": "COMPLETED", "f": "PAUSED",
    }  # fmt: skip
    bench.watch.give_up_all()
    assert bench.server.states == {
        "a": "CRASHED", "b": "CRASHED", "c": "CRASHED", "d": "SCHEDULED", "e": "COMPLETED", "f": "PAUSED",
    }  # fmt: skip


def test_a_run_whose_end_the_server_was_not_told_is_given_up_at_the_second_look(bench: Bench) -> None:
    runner = Slots(is_idle=False)
    bench.watch.serves(runner)
    bench.server.states = {"a": "RUNNING"}
    bench.look(3)
    assert bench.server.states == {"a": "RUNNING"}
    runner.is_idle = True
    bench.look()
    assert bench.server.states == {"a": "RUNNING"}
    bench.look()
    assert bench.server.states == {"a": "CRASHED"}


def test_a_run_that_is_taken_up_between_two_questions_goes_on(bench: Bench) -> None:
    runner = Slots()
    bench.watch.serves(runner)

    def take_up() -> None:
        bench.server.states["a"], runner.is_idle = "PENDING", False

    bench.server.when_asked = take_up
    bench.look(3)
    assert bench.server.states == {"a": "PENDING"}


def test_the_metrics_are_what_the_server_knows(bench: Bench) -> None:
    bench.server.states = {"a": "COMPLETED", "b": "COMPLETED", "c": "FAILED", "d": "RUNNING"}
    bench.server.seconds = 12.5
    bench.look()
    assert [bench.count(state) for state in ("completed", "failed", "running", "crashed")] == [2.0, 1.0, 1.0, 0.0]
    assert bench.counted.get_sample_value("cardwatch_pipelines_run_seconds", {"flow": "retrain"}) == 12.5
