"""Faults that are switched on while the generator runs: what is sent then, and after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from threading import Event

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from adapters.runtime.health import Health
from adapters.runtime.process import Process
from adapters.runtime.settings import Settings
from cardwatch.events import Label, Transaction
from cardwatch.live.faults import WORLD_FAULTS
from cardwatch.progress import FaultBegan, FaultEnded, FaultRequested, Progress
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.timeline import change_of_the_demo
from services.generator import faults
from services.generator.metrics import GeneratorMetrics
from services.generator.plan import Plan
from services.generator.plan_runner import PlanRunner
from tests.unit.services.generator.plan_fakes import (
    CHAMPION,
    WORLD,
    FakeProgress,
    FakeSender,
    days,
    emitted,
    immediate_answer,
    on,
)

FOREVER = 10**15
RICH = structs.replace(WORLD, cards=600, fraud_share=0.05)


def turn_on(name: str, until_ms: int = FOREVER) -> FaultRequested:
    return FaultRequested(name=name, until_ms=until_ms)


def turn_off(name: str) -> FaultRequested:
    return FaultRequested(name=name, until_ms=None)


def after(requests: Mapping[int, Sequence[Progress]]) -> Callable[[date], list[Progress]]:
    """Requests that arrive when the day of this number has been sent, before the next one."""
    return lambda day: [*immediate_answer(day), *requests.get((day - on(0)).days, ())]


@pytest.fixture(autouse=True)
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "LOOK_SECONDS", 0.0)


def run(
    topic: FakeProgress,
    *,
    live: int,
    world: SimulationSettings = WORLD,
    sent_before: Iterable[Transaction] = (),
    labels_before: Iterable[Label] = (),
    rate: float | None = None,
) -> FakeSender:
    sender = FakeSender(topic, sent_before)
    sender.labels_in_log(labels_before)
    plan = Plan(world=world, history_days=0, live_days=live, rate_seconds=0.0, live_rate_per_second=rate)
    start(topic, sender, plan)
    return sender


def start(topic: FakeProgress, sender: FakeSender, plan: Plan) -> None:
    process = Process(Settings(), Health(), Event())
    PlanRunner(plan, sender, topic, process, GeneratorMetrics(CollectorRegistry())).run()  # type: ignore[arg-type]


def by_day(sender: FakeSender, day: int) -> list[Transaction]:
    return [each for each in sender.transactions if each.transaction_id.startswith(f"t-{day:05d}")]


def without_place(transaction: Transaction) -> Transaction:
    return structs.replace(transaction, latitude=None, longitude=None)


def six_hours_ahead(transaction: Transaction) -> Transaction:
    later = transaction.occurred_at + timedelta(hours=6)
    is_next_day = later.date() > transaction.occurred_at.date()
    return structs.replace(transaction, occurred_at=later - timedelta(days=is_next_day))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("null-column", without_place), ("clock-shift", six_hours_ahead)],
)
def test_a_fault_of_the_data_changes_what_is_sent_while_it_is_on_and_nothing_else(
    name: str, expected: Callable[[Transaction], Transaction]
) -> None:
    sender = run(FakeProgress(CHAMPION, answer=after({0: [turn_on(name)], 1: [turn_off(name)]})), live=3)
    happened = days(3)
    assert by_day(sender, 0) == happened[0].transactions
    assert by_day(sender, 1) == [expected(each) for each in happened[1].transactions] != happened[1].transactions
    assert by_day(sender, 2) == happened[2].transactions
    assert sender.announced == [FaultBegan(day=on(1), name=name), FaultEnded(day=on(2), name=name)]
    assert sender.labels == [label for day in happened for label in day.labels]


def test_amounts_in_another_unit_are_a_hundredth() -> None:
    sender = run(FakeProgress(CHAMPION, turn_on("unit-change")), live=1)
    pairs = list(zip(sender.transactions, days(1)[0].transactions, strict=True))
    # At least one unit, and halves may be rounded either way.
    assert all(abs(sent.amount_minor - max(was.amount_minor / 100, 1)) <= 0.5 for sent, was in pairs)


def test_two_faults_act_together() -> None:
    sender = run(FakeProgress(CHAMPION, turn_on("null-column"), turn_on("clock-shift")), live=1)
    assert sender.transactions == [six_hours_ahead(without_place(each)) for each in days(1)[0].transactions]


@pytest.mark.parametrize("name", WORLD_FAULTS)
def test_a_request_whose_time_is_over_does_nothing(name: str) -> None:
    sender = run(FakeProgress(CHAMPION, turn_on(name, until_ms=1)), live=2)
    assert sender.transactions == [each for day in days(2) for each in day.transactions]
    assert (sender.announced, sender.poison_records) == ([], 0)


def test_a_request_of_an_unknown_fault_does_nothing() -> None:
    assert run(FakeProgress(CHAMPION, turn_on("fault-of-a-later-version")), live=1).announced == []


def test_a_fault_ends_when_its_time_is_over() -> None:
    until_ms = round(1000.0 * time.time()) + 300  # noqa: TID251 (the generator reads the same clock)
    sender = run(FakeProgress(CHAMPION, turn_on("null-column", until_ms)), live=1, rate=200.0)
    happened = days(1)[0].transactions
    present = [position for position, each in enumerate(happened) if each.latitude is not None]
    missing = [position for position in present if sender.transactions[position].latitude is None]
    assert missing == present[: len(missing)]  # those of the first 0.3 s
    assert 0 < len(missing) < len(present)
    assert sender.announced[-1] == FaultEnded(day=on(0), name="null-column")


def test_late_labels_are_held_back_and_all_sent_when_the_fault_ends() -> None:
    requests = {1: [turn_on("late-labels")], 4: [turn_off("late-labels")]}
    simulation = Simulation(RICH)
    expected = [simulation.day(number).labels for number in range(7)]
    assert all(expected[2:5])
    counts: list[int] = []
    topic = FakeProgress(CHAMPION)
    sender = FakeSender(topic)

    def answer(day: date) -> list[Progress]:
        counts.append(len(sender.labels))
        return after(requests)(day)

    topic.answer = answer
    start(topic, sender, Plan(world=RICH, history_days=0, live_days=7, rate_seconds=0.0))
    two_days = len(expected[0]) + len(expected[1])
    assert counts[1:5] == [two_days] * 4
    assert sender.labels == [label for day in expected for label in day]


def test_labels_that_an_interrupted_generator_held_back_are_not_lost_and_not_sent_twice() -> None:
    world = Simulation(RICH)
    expected = [world.day(number).labels for number in range(6)]
    assert len(expected[2]) > 1
    began = FaultBegan(day=on(2), name="late-labels")
    sent = [record for number in range(4) for record in (emitted(on(number)), *immediate_answer(on(number)))]
    # Labels of days 2 and 3 were held back; the release was interrupted after the first one.
    records = [CHAMPION, *sent[:6], turn_on("late-labels"), began, *sent[6:], turn_off("late-labels")]
    before = [*expected[0], *expected[1], expected[2][0]]
    sender = run(FakeProgress(*records), live=6, world=RICH, labels_before=before)
    assert sender.labels_after == emitted(on(1))
    assert sender.labels == [*expected[2][1:], *expected[3], *expected[4], *expected[5]]


def test_a_poison_record_is_sent_once_for_each_request() -> None:
    requests = {0: [turn_on("poison-record")], 2: [turn_on("poison-record")]}
    sender = run(FakeProgress(CHAMPION, answer=after(requests)), live=5)
    assert sender.poison_records == 2
    assert sender.transactions == [each for day in days(5) for each in day.transactions]


def test_a_poison_record_is_not_sent_again_after_an_interruption() -> None:
    began = [FaultBegan(day=on(0), name="poison-record"), FaultEnded(day=on(0), name="poison-record")]
    assert run(FakeProgress(CHAMPION, turn_on("poison-record"), *began), live=2).poison_records == 0


def test_a_burst_multiplies_the_rate_by_five() -> None:
    rate, count = 100.0, len(days(1)[0].transactions)
    begin = time.monotonic()
    run(FakeProgress(CHAMPION, turn_on("burst")), live=1, rate=rate)
    seconds = time.monotonic() - begin
    assert (count - 2) / (5 * rate) <= seconds < count / (2 * rate)


def drifting(until_day: int | None) -> SimulationSettings:
    timeline = tuple(structs.replace(event, until_day=until_day) for event in change_of_the_demo(2))
    return structs.replace(WORLD, timeline=timeline)


def transactions_of(settings: SimulationSettings, count: int) -> list[Transaction]:
    simulation = Simulation(settings)
    return [each for number in range(count) for each in simulation.day(number).transactions]


def test_drift_is_the_change_of_the_demo_from_the_next_day_on_until_it_is_switched_off() -> None:
    requests = {1: [turn_on("drift")], 3: [turn_off("drift")]}
    sender = run(FakeProgress(CHAMPION, answer=after(requests)), live=6)
    assert sender.transactions == transactions_of(drifting(until_day=4), 6) != transactions_of(WORLD, 6)
    assert sender.announced == [FaultBegan(day=on(2), name="drift"), FaultEnded(day=on(4), name="drift")]


def test_after_an_interruption_the_population_drifts_as_before() -> None:
    began = FaultBegan(day=on(2), name="drift")
    sent = [record for number in range(4) for record in (emitted(on(number)), *immediate_answer(on(number)))]
    records = [CHAMPION, *sent[:6], turn_on("drift"), began, *sent[6:]]
    sender = run(FakeProgress(*records), live=6)
    days_before = [each for each in transactions_of(drifting(None), 6) if each.transaction_id[:7] < "t-00004"]
    assert sender.transactions == transactions_of(drifting(None), 6)[len(days_before) :]


def test_drift_never_begins_within_a_day() -> None:
    today, part = days(3), days(1)[0].transactions[:5]
    sender = run(FakeProgress(CHAMPION, turn_on("drift")), live=2, sent_before=part)
    assert sender.transactions[: len(today[0].transactions) - 5] == today[0].transactions[5:]
    assert sender.announced == [FaultBegan(day=on(1), name="drift")]
