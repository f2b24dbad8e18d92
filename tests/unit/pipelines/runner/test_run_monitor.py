"""The monitor of the flow runner: an unreachable server, lost deployments, orphaned runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from adapters.prefect import FlowRun, RunState
from adapters.runtime.health import Health
from cardwatch.errors import OrchestratorUnavailable
from pipelines.runner.metrics import FlowRunMetrics
from pipelines.runner.run_monitor import DEPLOYMENTS_LOST, REGISTERING, RunMonitor

NAME = "retrain/local"


class FakeServer:
    """Knows one deployment and its runs, the newest first; `on_query` is called with every query for runs."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.seconds = 0.0
        self.is_away = self.has_forgotten = False
        self.on_query: Callable[[], None] = lambda: None

    def exists(self, name: str) -> bool:
        if self.is_away:
            raise OrchestratorUnavailable("no answer")
        return name == NAME and not self.has_forgotten

    def runs(self, name: str) -> list[FlowRun]:
        self.on_query()
        if self.is_away:
            raise OrchestratorUnavailable("no answer")
        return [
            FlowRun(run_id=run, state=RunState(kind=kind, name=kind.title(), message=""), seconds=self.seconds)
            for run, kind in reversed(self.states.items())
        ]

    def crash(self, run_id: str, why: str) -> None:
        self.states[run_id] = "CRASHED"


class FakeRunner:
    """A runner that executes a run, or is idle."""

    def __init__(self, *, is_idle: bool = True) -> None:
        self.is_idle = is_idle

    def has_slots_available(self) -> bool:
        return self.is_idle


class Bench:
    """A monitor of a fake server, with its health and metrics."""

    def __init__(self) -> None:
        self.server, self.health, self.counted = FakeServer(), Health(), CollectorRegistry()
        self.monitor = RunMonitor(self.server, [NAME], self.health, FlowRunMetrics(self.counted))

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            asyncio.run(self.monitor.poll())

    def count(self, state: str) -> float | None:
        return self.counted.get_sample_value("cardwatch_pipelines_runs", {"flow": "retrain", "state": state})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_ready_while_the_server_has_the_deployments(bench: Bench) -> None:
    bench.poll()
    assert bench.health.why_not_ready == REGISTERING
    bench.monitor.runner_started(FakeRunner().has_slots_available)
    bench.poll()
    assert bench.health.why_not_ready is None
    bench.monitor.runner_stopped("the runner stopped")
    bench.poll()
    assert bench.health.why_not_ready == "the runner stopped"


def test_during_an_outage_it_is_not_ready_and_an_idle_runner_is_restarted(bench: Bench) -> None:
    bench.monitor.runner_started(FakeRunner().has_slots_available)
    bench.server.is_away = True
    bench.poll()
    assert bench.health.why_not_ready == "no answer"
    assert bench.monitor.needs_restart


def test_an_outage_does_not_restart_a_runner_that_executes_a_run(bench: Bench) -> None:
    bench.monitor.runner_started(FakeRunner(is_idle=False).has_slots_available)
    bench.server.is_away = True
    bench.poll(3)
    assert not bench.monitor.needs_restart
    bench.server.is_away = False
    bench.poll()
    assert bench.health.why_not_ready is None


def test_lost_deployments_are_registered_again(bench: Bench) -> None:
    bench.monitor.runner_started(FakeRunner(is_idle=False).has_slots_available)
    bench.server.has_forgotten = True
    bench.poll()
    assert bench.monitor.needs_restart
    assert bench.health.why_not_ready == DEPLOYMENTS_LOST
    bench.monitor.runner_stopped()
    bench.poll()
    assert bench.health.why_not_ready == REGISTERING
    bench.server.has_forgotten = False
    bench.monitor.runner_started(FakeRunner().has_slots_available)
    bench.poll()
    assert not bench.monitor.needs_restart
    assert bench.health.why_not_ready is None


def test_deployments_that_are_not_registered_yet_are_not_lost(bench: Bench) -> None:
    bench.server.has_forgotten = True
    bench.server.on_query = lambda: bench.monitor.runner_started(FakeRunner().has_slots_available)
    bench.poll()
    assert not bench.monitor.needs_restart


def test_a_new_runner_crashes_active_runs_and_no_others(bench: Bench) -> None:
    bench.server.states = {
        "a": "RUNNING", "b": "PENDING", "c": "CANCELLING", "d": "SCHEDULED", "e": "COMPLETED", "f": "PAUSED",
    }  # fmt: skip
    bench.monitor.crash_active_runs()
    assert bench.server.states == {
        "a": "CRASHED", "b": "CRASHED", "c": "CRASHED", "d": "SCHEDULED", "e": "COMPLETED", "f": "PAUSED",
    }  # fmt: skip


def test_an_orphaned_run_is_crashed_at_the_second_poll(bench: Bench) -> None:
    runner = FakeRunner(is_idle=False)
    bench.monitor.runner_started(runner.has_slots_available)
    bench.server.states = {"a": "RUNNING"}
    bench.poll(3)
    assert bench.server.states == {"a": "RUNNING"}
    runner.is_idle = True
    bench.poll()
    assert bench.server.states == {"a": "RUNNING"}
    bench.poll()
    assert bench.server.states == {"a": "CRASHED"}


def test_a_run_that_starts_between_two_queries_is_not_crashed(bench: Bench) -> None:
    runner = FakeRunner()
    bench.monitor.runner_started(runner.has_slots_available)

    def start_run() -> None:
        bench.server.states["a"], runner.is_idle = "PENDING", False

    bench.server.on_query = start_run
    bench.poll(3)
    assert bench.server.states == {"a": "PENDING"}


def test_the_metrics_show_the_runs_of_the_server(bench: Bench) -> None:
    bench.server.states = {"a": "COMPLETED", "b": "COMPLETED", "c": "FAILED", "d": "RUNNING"}
    bench.server.seconds = 12.5
    bench.poll()
    assert [bench.count(state) for state in ("completed", "failed", "running", "crashed")] == [2.0, 1.0, 1.0, 0.0]
    assert bench.counted.get_sample_value("cardwatch_pipelines_run_seconds", {"flow": "retrain"}) == 12.5
