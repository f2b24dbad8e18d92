"""`cardwatch fault`: what it writes, what it lists, and what it refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, start_http_server

from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome, StackStatus
from adapters.runtime.settings import Settings, read_settings
from cardwatch.live.faults import FaultStates
from cardwatch.progress import FaultBegan, FaultRequested, Progress
from cli import fault as command
from cli.main import main
from services.generator.metrics import GeneratorMetrics
from tests.proxied_home import ProxiedHome

NOW_MS = 1_000_000.0


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Progress]:
    """The records of the topic `progress`, at a fixed time, with no stack in CARDWATCH_HOME."""
    records: list[Progress] = []

    def states(_broker: object) -> FaultStates:
        found = FaultStates()
        for record in records:
            found.apply(record, NOW_MS)
        return found

    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    monkeypatch.setattr(command, "broker_settings", Settings)
    monkeypatch.setattr(command, "read_states", states)
    monkeypatch.setattr(command, "publish_progress", lambda _broker, record: records.append(record))
    monkeypatch.setattr(command, "epoch_ms", lambda: NOW_MS)
    return records


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["fault", *arguments])
    return result.exit_code, result.output


def state_of(name: str) -> str:
    status, output = run("list")
    assert status == 0
    line = next(line for line in output.splitlines() if line.startswith(name + " "))
    return line.removeprefix(name).strip().partition("  ")[0]


def test_on_and_off_write_requests(topic: list[Progress]) -> None:
    assert run("on", "burst")[0] == run("on", "drift", "--for", "60")[0] == run("off", "burst")[0] == 0
    assert topic == [
        FaultRequested(name="burst", until_ms=1_030_000),
        FaultRequested(name="drift", until_ms=1_060_000),
        FaultRequested(name="burst", until_ms=None),
    ]


def test_the_list_tells_what_is_off_asked_and_on_and_for_how_long(topic: list[Progress]) -> None:
    assert state_of("burst") == "off"
    topic.append(FaultRequested(name="burst", until_ms=1_042_000))
    assert state_of("burst") == "asked"
    topic.append(FaultBegan(day=date(2025, 1, 6), name="burst"))
    assert state_of("burst") == "on, 42 s"
    topic.append(FaultRequested(name="burst", until_ms=None))
    assert state_of("burst") == "ends"
    assert state_of("scoring-cut") == "none"


@pytest.fixture
def stack(topic: list[Progress], tmp_path: Path) -> Callable[..., None]:
    """What writes the status of a stack in CARDWATCH_HOME, with a generator at an address."""

    def write(address: str | None, *finished: str) -> None:
        endpoints = {} if address is None else {"generator": ProcessEndpoint(address, f"{address}/readyz")}
        home = StackHome(read_settings())
        (home.folder / "run").mkdir(parents=True, exist_ok=True)
        owner = ProcessIdentity.of(os.getpid())
        StackRecord(owner=owner, processes={}).write(home.folder / "stack.json")
        home.write(
            StackStatus(owner=owner, environment={}, own_variables=[], endpoints=endpoints, finished=list(finished))
        )

    return write


@pytest.mark.parametrize(("rate", "is_sent"), [(20.0, True), (None, False)])
def test_a_burst_needs_a_rate_that_it_can_multiply(
    stack: Callable[..., None], topic: list[Progress], rate: float | None, is_sent: bool
) -> None:
    registry = CollectorRegistry()
    GeneratorMetrics(registry).set_live_rate(rate)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        stack(f"http://127.0.0.1:{server.server_port}")
        status, output = run("on", "burst")
        assert (status == 0, len(topic) == 1) == (is_sent, is_sent)
        assert ("plan has no rate" in output) != is_sent
        assert state_of("burst") == ("asked" if is_sent else "none")
        assert state_of("drift") == "off"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("address", "finished", "reason"),
    [(None, [], "No generator runs"), ("http://127.0.0.1:1", ["generator"], "come to the end of its plan")],
)
def test_what_no_generator_would_apply_is_not_requested(
    stack: Callable[..., None], topic: list[Progress], address: str | None, finished: list[str], reason: str
) -> None:
    stack(address, *finished)
    status, output = run("on", "drift")
    assert (status, topic) == (2, [])
    assert reason in output


@pytest.fixture
def proxied(topic: list[Progress], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ProxiedHome:
    """A stack in CARDWATCH_HOME whose worker reaches the scoring service through a proxy. No console runs."""
    home = ProxiedHome(tmp_path, "scoring")
    monkeypatch.setattr(command, "NetworkFaults", lambda _home: home.faults())
    return home


def test_a_network_fault_is_switched_on_listed_and_switched_off(proxied: ProxiedHome) -> None:
    proxied.own(proxied.owner, console=proxied.owner)
    assert run("on", "scoring-cut", "--for", "60") == (0, "scoring-cut is on; the console ends it after 60 s\n")
    assert proxied.control.is_broken("stream-to-scoring")
    assert (state_of("scoring-cut"), state_of("scoring-slow"), state_of("store-silent")) == ("on, 60 s", "off", "none")
    assert run("off", "scoring-cut") == (0, "scoring-cut is off\n")
    assert not proxied.control.is_broken("stream-to-scoring")
    assert state_of("scoring-cut") == "off"


def test_a_network_fault_that_nobody_would_end_is_refused(proxied: ProxiedHome) -> None:
    status, output = run("on", "scoring-cut")
    assert (status, proxied.control.is_broken("stream-to-scoring")) == (2, False)
    assert "no console runs, which would end scoring-cut" in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("on", "explosion"), "there is no fault 'explosion'"),
        (("on", "scoring-cut"), "No proxy runs"),
        (("on", "poison-record", "--for", "5"), "happens once"),
        (("on", "kill-scoring", "--for", "5"), "happens once"),
        (("on", "kill-scoring"), "no process that this stack has started"),
        (("on", "freeze-scoring"), "no console runs, which would resume scoring"),
        (("off", "kill-scoring"), "the stack starts the process again"),
        (("off", "freeze-scoring"), "no stack runs"),
        (("on", "burst", "--for", "0"), "not in the range"),
        (("on", "burst", "--for", "nan"), "nan"),
    ],
)
def test_what_is_impossible_is_refused_with_the_reason(
    topic: list[Progress], arguments: tuple[str, ...], reason: str
) -> None:
    status, output = run(*arguments)
    assert (status, topic) == (2, [])
    assert reason in output
