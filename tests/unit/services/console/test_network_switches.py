"""The switches of the network faults: what they say, what they do, and what the timeline and the log tell of them."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from cardwatch.errors import Misconfigured
from cardwatch.live.frames import EventKind
from cardwatch.live.topic_state import TopicState
from services.console.fault_switch import FaultSwitch
from services.console.network_switches import NetworkSwitches
from tests.proxied_home import ProxiedHome


class NetworkConsole:
    """The switches of a stack with proxies to these servers, at a time that is set."""

    def __init__(self, folder: Path, *servers: str) -> None:
        self.now_ms = 1_000.0
        self.proxied = ProxiedHome(folder, *servers)
        self.state = TopicState({}, time.monotonic())
        self.switches = NetworkSwitches(self.proxied.faults(), self.state, lambda: self.now_ms)

    def named(self, name: str) -> FaultSwitch:
        return next(switch for switch in self.switches.switches() if switch.name == name)

    def told(self) -> list[tuple[float, str]]:
        assert all(event.kind is EventKind.FAULT for event in self.state.timeline.events)
        return [(event.at_ms, event.text) for event in self.state.timeline.events]


@pytest.fixture
def console(tmp_path: Path) -> NetworkConsole:
    return NetworkConsole(tmp_path, "kafka", "scoring")


def test_a_switch_is_on_until_its_time_is_over(console: NetworkConsole) -> None:
    console.switches.on("scoring-cut", 8.0)
    on = console.named("scoring-cut")
    assert (on.group, on.state, on.since_ms, on.until_ms, on.unavailable) == ("network", "on", 1_000.0, 9_000.0, None)
    console.now_ms = 9_000.0
    console.switches.look()
    off = console.named("scoring-cut")
    assert (off.state, off.since_ms, off.until_ms) == ("off", None, None)
    assert not console.proxied.control.is_broken("stream-to-scoring")


def test_without_seconds_a_fault_lasts_its_default(console: NetworkConsole) -> None:
    console.switches.on("broker-slow", None)
    switch = console.named("broker-slow")
    assert switch.seconds == 30.0
    assert switch.until_ms == 31_000.0


def test_begin_and_end_are_on_the_timeline_once(console: NetworkConsole) -> None:
    console.switches.on("broker-cut", None)
    console.now_ms = 1_200.0
    console.switches.look()
    console.switches.look()
    console.switches.off("broker-cut")
    console.switches.look()
    console.switches.look()
    assert console.told() == [(1_000.0, "fault: lost broker begins"), (1_200.0, "fault: lost broker ends")]


def test_a_proxy_that_does_not_answer_is_logged_once_and_the_fault_ends_when_it_does(
    console: NetworkConsole, caplog: pytest.LogCaptureFixture
) -> None:
    console.switches.on("broker-cut", 1.0)
    caplog.clear()  # another test of this process may have set a level at which that is logged
    console.proxied.control.running = False
    console.now_ms = 2_000.0
    with caplog.at_level(logging.WARNING):
        console.switches.look()
        console.switches.look()
    assert [record.getMessage() for record in caplog.records] == [
        "faults of the network cannot be ended now: Toxiproxy does not answer"
    ]
    assert console.named("broker-cut").state == "on"
    console.proxied.control.running = True
    console.switches.look()
    assert console.named("broker-cut").state == "off"


def test_each_action_has_one_line_of_audit(console: NetworkConsole, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        console.switches.on("broker-cut", 2.0)
        console.switches.off("broker-cut")
    assert [record.getMessage() for record in caplog.records] == [
        "audit: fault broker-cut on until 3000 ms since 1970",
        "audit: fault broker-cut off",
    ]


def test_an_embedded_store_cannot_be_cut_off_and_says_so(console: NetworkConsole) -> None:
    assert "LMDB" in str(console.named("store-silent").unavailable)
    with pytest.raises(Misconfigured, match="LMDB"):
        console.switches.on("store-silent", None)


@pytest.mark.parametrize("seconds", [0.0, float("nan"), 1e9])
def test_impossible_times_are_refused(console: NetworkConsole, seconds: float) -> None:
    with pytest.raises(Misconfigured):
        console.switches.on("scoring-cut", seconds)
    assert console.named("scoring-cut").state == "off"
