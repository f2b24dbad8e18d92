"""The switches of the console on a running stack: each fault is a real one, and all end by hand or by their time."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import psutil
import pytest

from adapters.kafka.topics import end_offsets
from adapters.local_stack.process_actions import is_frozen
from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.settings import Settings, read_settings
from cardwatch.events import Label, Transaction, decode, encode
from cardwatch.progress import DayEmitted, decode_progress
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from cli.demo.topic_audit import audit_topics, committed_records
from tests.deadlines import until
from tests.e2e.console_page import PLAN, Page, is_ready, stack_with_console, state_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

WORLD = SimulationSettings(seed=5, cards=300, fraud_share=0.02)
RATE = 40.0
"""As in `PLAN`."""


class Running(NamedTuple):
    """The stack, its settings, and what runs a command beside it."""

    status: StackStatus
    settings: Settings
    run: Callable[..., subprocess.CompletedProcess[str]]

    def ends(self, topic: str) -> dict[tuple[str, int], int]:
        return {(topic, partition): end for partition, end in end_offsets(self.settings.kafka, topic).items()}

    def records_from(self, start: Mapping[tuple[str, int], int]) -> list[Transaction]:
        found = committed_records(self.settings, TRANSACTIONS, start)
        return [decode(record.value, Transaction) for record in found]

    def has_grown(self, start: Mapping[tuple[str, int], int], topic: str, records: int) -> bool:
        return sum(self.ends(topic).values()) - sum(start.values()) >= records


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with stack_with_console(tmp_path_factory.mktemp("home"), PLAN) as (status, run):
        yield Running(status, read_settings(status.environment), run)


@pytest.fixture
def page(running: Running) -> Iterator[Page]:
    page = Page(running.status)
    with page.client:
        page.until("decisions", lambda frame: frame["traffic"]["by_model_per_second"] > 0, 60.0)
        yield page


class TrueWorld:
    """What happened in the simulated world, day by day."""

    def __init__(self) -> None:
        self._simulation, self._next = Simulation(WORLD), 0
        self._transactions: dict[str, Transaction] = {}
        self.labels: list[list[Label]] = []

    def through(self, day: int) -> TrueWorld:
        while self._next <= day:
            events = self._simulation.day(self._next)
            self._transactions |= {each.transaction_id: each for each in events.transactions}
            self.labels.append(events.labels)
            self._next += 1
        return self

    def transaction(self, sent: Transaction) -> Transaction:
        return self.through(int(sent.transaction_id[2:7]))._transactions[sent.transaction_id]


@pytest.fixture(scope="module")
def world() -> TrueWorld:
    return TrueWorld()


def has_state(page: Page, name: str, state: str) -> Callable[[], bool]:
    return lambda: page.fault(name)["state"] == state


def is_without_place(sent: Transaction, true: Transaction) -> bool:
    return sent.latitude is None and sent.longitude is None


def is_a_hundredth(sent: Transaction, true: Transaction) -> bool:
    return abs(sent.amount_minor - max(true.amount_minor / 100, 1)) <= 0.5


def is_six_hours_ahead(sent: Transaction, true: Transaction) -> bool:
    return (sent.occurred_at - true.occurred_at).total_seconds() in (6 * 3600.0, -18 * 3600.0)


@pytest.mark.parametrize(
    ("name", "is_faulty"),
    [("unit-change", is_a_hundredth), ("clock-shift", is_six_hours_ahead), ("null-column", is_without_place)],
)
def test_a_fault_of_the_data_is_in_every_record_while_it_is_on_and_decisions_go_on(
    running: Running, page: Page, world: TrueWorld, name: str, is_faulty: Callable[[Transaction, Transaction], bool]
) -> None:
    assert page.switch(name, "on", 300.0).status_code == 204
    until(f"{name} is on", has_state(page, name, "on"), 20.0)
    begin = running.ends(TRANSACTIONS)
    until("records", lambda: running.has_grown(begin, TRANSACTIONS, 100), 60.0)
    faulty = running.records_from(begin)
    page.until("decisions go on", lambda frame: frame["traffic"]["by_model_per_second"] > 0, 30.0)
    assert page.switch(name, "off").status_code == 204
    until(f"{name} is off", has_state(page, name, "off"), 20.0)
    after = running.ends(TRANSACTIONS)
    until("records", lambda: running.has_grown(after, TRANSACTIONS, 100), 60.0)
    assert len(faulty) >= 100
    assert all(is_faulty(sent, world.transaction(sent)) for sent in faulty)
    assert all(sent == world.transaction(sent) for sent in running.records_from(after))


def test_a_missing_column_is_found_when_its_day_is_monitored(page: Page) -> None:
    assert page.switch("null-column", "on", 60.0).status_code == 204
    with closing(page.frames()) as frames:
        event = next(frame for frame in frames if frame["type"] == "event" and is_about_latitude(frame))
    assert event["details"]
    assert page.switch("null-column", "off").status_code == 204
    until("it is off", has_state(page, "null-column", "off"), 20.0)


def is_about_latitude(event: Mapping[str, Any]) -> bool:
    return event["kind"] == "data" and "latitude" in event["text"]


def test_a_burst_raises_the_rate_and_the_lag_recovers_when_its_time_is_over(page: Page) -> None:
    assert page.switch("burst", "on", 12.0).status_code == 204
    page.until("the rate rises", lambda frame: frame["traffic"]["transactions_per_second"] > 2.5 * RATE, 30.0)
    page.until(
        "all is decided, and the rate is what it was",
        lambda frame: frame["traffic"]["transactions_per_second"] < 1.5 * RATE and frame["traffic"]["waiting"] < RATE,
        60.0,
    )
    assert page.fault("burst")["state"] == "off"


def test_a_switch_and_its_command_do_the_same(running: Running, page: Page) -> None:
    on = running.run(*page.fault("burst")["commands"]["on"].split()[1:], "--for", "60")
    assert on.returncode == 0, on.stderr
    until("the switch of the page is on", has_state(page, "burst", "on"), 20.0)
    listed = running.run("fault", "list").stdout.splitlines()
    assert any(line.startswith("burst ") and " on, " in line for line in listed)
    off = running.run(*page.fault("burst")["commands"]["off"].split()[1:])
    assert off.returncode == 0, off.stderr
    until("the switch of the page is off", has_state(page, "burst", "off"), 20.0)


def test_late_labels_arrive_when_the_fault_ends_although_the_generator_was_killed(
    running: Running, page: Page, world: TrueWorld
) -> None:
    assert page.switch("late-labels", "on", 600.0).status_code == 204
    until("labels are late", has_state(page, "late-labels", "on"), 20.0)
    begin, first = running.ends(LABELS), newest_day(running)
    until("another day is sent", lambda: newest_day(running) > first, 90.0)
    assert page.switch("kill-generator", "on").status_code == 204
    page.until("the generator is ready again", is_ready("generator"), 60.0)
    second = newest_day(running)
    until("another day is sent", lambda: newest_day(running) > second, 120.0)
    assert running.ends(LABELS) == begin
    held = sum(map(len, world.through(newest_day(running)).labels[first + 1 :]))
    assert held > 0
    assert page.switch("late-labels", "off").status_code == 204
    until("all of them arrive", lambda: running.has_grown(begin, LABELS, held), 60.0)


def newest_day(running: Running) -> int:
    """The number of the newest day that was sent completely."""
    records = [decode_progress(record.value) for record in committed_records(running.settings, PROGRESS, {})]
    return max((each.day - WORLD.first_day).days for each in records if isinstance(each, DayEmitted))


def test_a_process_that_is_frozen_for_a_time_is_resumed_although_the_console_was_killed(
    running: Running, page: Page
) -> None:
    page.until("the monitor is ready", is_ready("monitor"), 120.0)
    record = StackHome(running.settings).record()
    assert record is not None
    assert page.switch("freeze-monitor", "on", 8.0).status_code == 204
    page.until("it is frozen", lambda frame: state_of(frame, "monitor") == "frozen", 10.0)
    assert page.fault("freeze-monitor")["state"] == "on"
    psutil.Process(record.processes["console"].pid).kill()
    assert is_frozen(record.processes["monitor"])
    until("it is resumed", lambda: not is_frozen(record.processes["monitor"]), 60.0)


def test_a_fault_without_its_part_is_refused_with_the_reason(page: Page) -> None:
    network = page.fault("scoring-cut")
    assert "No proxy runs" in network["unavailable"] and "CARDWATCH_TOXIPROXY" in network["unavailable"]
    answer = page.switch("scoring-cut", "on")
    assert (answer.status_code, answer.json()["error"]) == (409, f"scoring-cut: {network['unavailable']}")
    assert page.client.post("/api/faults/burst/on").status_code == 401


def test_a_poison_record_becomes_a_dead_letter_and_nothing_else_is_lost_by_all_of_this(
    running: Running, page: Page, world: TrueWorld
) -> None:
    before = page.until("a frame", lambda _: True, 10.0)["totals"]["dead_letters"]
    assert page.switch("poison-record", "on").status_code == 204
    page.until("a dead letter", lambda frame: frame["totals"]["dead_letters"] == before + 1, 30.0)
    page.until("decisions go on", lambda frame: frame["traffic"]["by_model_per_second"] > 0, 30.0)
    assert page.switch("freeze-generator", "on", 600.0).status_code == 204
    page.await_all_decided()
    audit = audit_topics(running.settings, {})
    assert (audit.lost, audit.duplicates, audit.repeats, audit.dead_letters) == (0, 0, 0, 1)
    last = newest_day(running)
    sent = Counter(record.value for record in committed_records(running.settings, LABELS, {}))
    expected = Counter(encode(label) for day in world.through(last).labels[: last + 1] for label in day)
    assert sent == expected


def test_the_log_of_the_console_has_a_line_for_each_action(running: Running) -> None:
    lines = StackHome(running.settings).log("console").read_text().splitlines()
    audit = [line.partition("audit: ")[2] for line in lines if "audit: " in line]
    assert any(line.startswith("fault poison-record on") for line in audit)
    assert any(line.startswith("freeze monitor for 8 s") for line in audit)
    assert any(line.startswith("kill generator") for line in audit)
    token = running.status.environment["CARDWATCH_CONSOLE_TOKEN"]
    assert not any(token in line for line in lines)
