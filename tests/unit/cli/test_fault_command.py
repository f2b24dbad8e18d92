"""`cardwatch fault`: what it writes, what it lists, and what it refuses."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.runtime.settings import Settings
from cardwatch.live.faults import FaultStates
from cardwatch.progress import FaultBegan, FaultRequested, Progress
from cli import fault as command
from cli.main import main
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
