"""The switches of the console: what they say, whom they ask, and what they refuse."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import pytest

from adapters.local_stack.network_faults import NetworkFaults
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured
from cardwatch.live.faults import NETWORK_FAULTS
from cardwatch.live.frames import BoxState
from cardwatch.live.topic_state import TopicState
from cardwatch.progress import FaultBegan, FaultRequested
from services.console.boxes import ProcessObservation
from services.console.fault_switch import FaultSwitch
from services.console.fault_switches import FaultSwitches
from services.console.network_switches import NetworkSwitches

NOW_MS = 1_000_000.0
NO_STACK = Path("no-stack-here")


class FakeProcesses:
    """Given processes. Keeps what is asked of them."""

    def __init__(self, **states: BoxState) -> None:
        self.states = states
        self.asked: list[tuple[str, ...]] = []
        self.in_containers = False

    def ask(self) -> dict[str, ProcessEndpoint]:
        return {}

    def observe(self) -> list[ProcessObservation]:
        typed = {action: f"docker compose {action}" for action in ("kill", "freeze", "resume")}
        return [
            ProcessObservation(
                name=name.replace("_", "-"),
                state=state,
                reason=None,
                pid=None if self.in_containers or state in (BoxState.DOWN, BoxState.EXTERNAL) else 7,
                restarts=0,
                address="",
                commands=typed if self.in_containers else {},
            )
            for name, state in self.states.items()
        ]

    def act(self, name: str, action: str) -> None:
        self.asked.append((name, action))

    def freeze_until(self, name: str, until_ms: float) -> None:
        self.asked.append((name, "freeze", f"{until_ms:.0f}"))

    def frozen_until_ms(self, name: str) -> float | None:
        return NOW_MS + 3_000.0

    def resume_due(self) -> None:
        pass

    def log_tail(self, name: str, lines: int) -> list[str]:
        return []

    def log_command(self, name: str) -> str:
        return ""


class Console:
    """Switches of given processes, with what they publish."""

    def __init__(self, **states: BoxState) -> None:
        self.state = TopicState({}, time.monotonic())
        self.processes = FakeProcesses(**states)
        self.published: list[FaultRequested] = []
        network = NetworkSwitches(NetworkFaults(StackHome(read_settings({}, home=NO_STACK))), self.state)
        self.live_rate: float | None = 20.0
        self.switches = FaultSwitches(
            self.state, self.processes, network, self.published.append, lambda: self.live_rate, lambda: NOW_MS
        )

    def named(self, name: str) -> FaultSwitch:
        return next(switch for switch in self.switches.switches() if switch.name == name)


def ready(*names: str) -> Console:
    return Console(**dict.fromkeys(names, BoxState.READY))


def test_processes_come_in_the_order_of_the_data_and_the_console_does_not_touch_itself() -> None:
    console = ready("scoring", "console", "bootstrap", "prefect", "stream_2", "stream", "generator")
    parts = [switch.part for switch in console.switches.switches() if switch.group == "process"]
    assert parts == ["generator"] * 2 + ["stream-2"] * 2 + ["stream"] * 2 + ["scoring"] * 2


def test_a_fault_of_the_world_is_requested_and_is_asked_for_until_the_generator_begins_it() -> None:
    console = ready("generator")
    console.switches.on("burst", 12.0)
    assert console.published == [FaultRequested(name="burst", until_ms=1_012_000)]
    assert console.named("burst").state == "off"  # the topic decides what is so, not the wish
    console.state.faults.apply(console.published[0], NOW_MS)
    assert (console.named("burst").state, console.named("burst").until_ms) == ("asked", 1_012_000)
    console.state.faults.apply(FaultBegan(day=date(2025, 1, 6), name="burst"), NOW_MS + 5.0)
    on = console.named("burst")
    assert (on.state, on.since_ms, on.until_ms) == ("on", NOW_MS + 5.0, 1_012_000)
    console.switches.off("burst")
    assert console.published[1:] == [FaultRequested(name="burst", until_ms=None)]


@pytest.mark.parametrize(
    ("states", "reason"),
    [({}, "No generator runs"), ({"generator": BoxState.DONE}, "end of its plan")],
)
def test_without_a_generator_no_fault_of_the_world_can_be_switched_on(states: dict[str, BoxState], reason: str) -> None:
    console = Console(**states)
    assert reason in str(console.named("drift").unavailable)
    with pytest.raises(Misconfigured, match=reason):
        console.switches.on("drift", None)
    assert console.published == []


def test_a_burst_needs_a_rate_that_it_can_multiply() -> None:
    console = ready("generator")
    console.live_rate = 0.0
    assert "plan has no rate" in str(console.named("burst").unavailable)
    assert console.named("drift").unavailable is None
    with pytest.raises(Misconfigured, match="plan has no rate"):
        console.switches.on("burst", None)
    assert console.published == []
    console.live_rate = None  # a generator that does not answer yet
    assert console.named("burst").unavailable is None


def test_a_generator_that_is_down_may_be_asked_because_it_finds_the_request_when_it_is_back() -> None:
    console = Console(generator=BoxState.DOWN)
    console.switches.on("drift", None)
    assert console.published == [FaultRequested(name="drift", until_ms=4_600_000)]


def test_processes_are_killed_frozen_for_a_time_and_resumed() -> None:
    console = ready("stream-2")
    console.switches.on("kill-stream-2", None)
    console.switches.on("freeze-stream-2", None)
    console.switches.on("freeze-stream-2", 5.0)
    console.switches.off("freeze-stream-2")
    assert console.processes.asked == [
        ("stream-2", "kill"),
        ("stream-2", "freeze", "1020000"),
        ("stream-2", "freeze", "1005000"),
        ("stream-2", "resume"),
    ]


def test_a_frozen_process_says_when_it_is_resumed() -> None:
    console = Console(monitor=BoxState.FROZEN)
    freeze = console.named("freeze-monitor")
    assert (freeze.state, freeze.until_ms, console.named("kill-monitor").state) == ("on", NOW_MS + 3_000.0, "off")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (BoxState.DOWN, "does not run"),
        (BoxState.EXTERNAL, "Somebody else"),
        (BoxState.DONE, "as intended"),
        (BoxState.READY, None),
    ],
)
def test_only_processes_that_run_and_are_the_stacks_can_be_switched(state: BoxState, reason: str | None) -> None:
    unavailable = Console(scoring=state).named("kill-scoring").unavailable
    assert unavailable is None if reason is None else reason in str(unavailable)


def test_network_faults_come_last_and_cannot_be_used_without_a_proxy() -> None:
    network = ready("generator").switches.switches()[-len(NETWORK_FAULTS) :]
    assert [switch.name for switch in network] == list(NETWORK_FAULTS)
    assert all("CARDWATCH_TOXIPROXY" in str(switch.unavailable) for switch in network)


def test_in_containers_the_switch_of_a_process_says_what_to_type() -> None:
    console = ready("scoring", "generator")
    console.processes.in_containers = True
    freeze = console.named("freeze-scoring")
    assert freeze.unavailable == "No container may touch another one."
    assert freeze.commands == {"on": "docker compose freeze", "off": "docker compose resume"}
    assert console.named("burst").unavailable is None


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("explosion", None), ("scoring-cut", None), ("burst", 0.0), ("kill-scoring", 5.0), ("freeze-scoring", 1e9)],
)
def test_what_cannot_be_switched_on_is_refused(name: str, seconds: float | None) -> None:
    console = ready("scoring", "generator")
    with pytest.raises(Misconfigured):
        console.switches.on(name, seconds)
    assert (console.published, console.processes.asked) == ([], [])


@pytest.mark.parametrize("name", ["kill-scoring", "explosion", "scoring-cut"])
def test_what_has_no_end_cannot_be_switched_off(name: str) -> None:
    with pytest.raises(Misconfigured):
        ready("scoring").switches.off(name)
