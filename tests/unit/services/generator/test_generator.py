"""The generator's schedule: what is sent when, who is waited for, and what is left after an interruption."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from threading import Event

import pytest
from prometheus_client import CollectorRegistry

from adapters.runtime.health import Health
from adapters.runtime.process import Process
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.events import Transaction
from cardwatch.progress import Bootstrapped, DayArchived, DayEmitted, DayMonitored, Progress, RateEnded, RetrainingEnded
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import EventsOfDay, Simulation
from services.generator import schedule
from services.generator.metrics import GeneratorMetrics
from services.generator.plan import Plan, read_plan
from services.generator.schedule import Schedule

FIRST = date(2025, 1, 6)
WORLD = SimulationSettings(seed=3, cards=50, first_day=FIRST)
FAST = 20_000.0
CHAMPION = Bootstrapped(day=FIRST, champion_version="1", average_precision=0.5)


def on(day: int) -> date:
    return FIRST + timedelta(days=day)


def days(count: int) -> list[EventsOfDay]:
    world = Simulation(WORLD)
    return [world.day(number) for number in range(count)]


def emitted(day: date, *, decided: bool = True) -> DayEmitted:
    return DayEmitted(day=day, transaction_ends={}, label_ends={}, decided=decided)


def archived(day: date) -> DayArchived:
    return DayArchived(day=day, transactions=0, decisions=0, labels=0, table_id="")


def monitored(day: date) -> DayMonitored:
    return DayMonitored(
        day=day,
        champion_version="1",
        average_precision=None,
        baseline_average_precision=None,
        matured_frauds=0,
        drifted_features=[],
        drift_share=0.0,
        state="stable",
    )


def answered_at_once(day: date) -> list[Progress]:
    return [archived(day), monitored(day)]


class Topic:
    """The topic `progress`, and how its other writers answer a day that was sent."""

    def __init__(self, *told: Progress, answer: Callable[[date], Sequence[Progress]] = answered_at_once) -> None:
        self.waiting = list(told)
        self.answer = answer

    def poll(self, timeout_seconds: float) -> Progress | None:
        return self.waiting.pop(0) if self.waiting else None

    def caught_up(self) -> bool:
        return not self.waiting


class Log:
    """What was sent, in order: transactions and labels as such, and the days that were ended. Times are of sending."""

    def __init__(self, topic: Topic, sent_before: Iterable[Transaction] = ()) -> None:
        self.topic = topic
        self.transactions: list[Transaction] = []
        self.times: list[float] = []
        self.days: list[date] = []
        self.announced: list[Progress] = []
        self.resumed_after: DayEmitted | None = None
        self.history: list[date] = []
        self._sent_before = {each.transaction_id for each in sent_before}

    def resume_after(self, day: DayEmitted | None) -> None:
        self.resumed_after = day

    def unsent(self, transactions: Sequence[Transaction]) -> list[Transaction]:
        return [each for each in transactions if each.transaction_id not in self._sent_before]

    def send(self, transactions: Iterable[Transaction]) -> None:
        fresh = self.unsent(list(transactions))
        self.transactions += fresh
        self.times += [time.monotonic()] * len(fresh)

    def send_day(self, events: EventsOfDay, *, decided: bool) -> None:
        self.send(events.transactions)
        self.send_rest_of_day(events, decided=decided)

    def send_rest_of_day(self, events: EventsOfDay, *, decided: bool) -> None:
        self.days.append(events.day)
        if not decided:
            self.history.append(events.day)
        self.topic.waiting += self.topic.answer(events.day)

    def ends(self) -> dict[str, int]:
        return {}

    def announce(self, record: Progress) -> None:
        self.announced.append(record)


@pytest.fixture
def process() -> Process:
    return Process(Settings(), Health(), Event())


@pytest.fixture
def run(process: Process) -> Callable[..., Log]:
    def start(topic: Topic, sent_before: Iterable[Transaction] = (), **plan: object) -> Log:
        log = Log(topic, sent_before)
        whole = Plan(world=WORLD, rate_seconds=0.0, **plan)  # type: ignore[arg-type]
        Schedule(whole, log, topic, process, GeneratorMetrics(CollectorRegistry())).run()  # type: ignore[arg-type]
        return log

    return start


def test_history_goes_at_once_and_a_live_day_only_when_the_day_before_is_archived_and_monitored(
    run: Callable[..., Log],
) -> None:
    told: list[date] = []

    def answer(day: date) -> list[Progress]:
        told.append(day)
        return answered_at_once(day)

    log = run(Topic(CHAMPION, answer=answer), history_days=2, live_days=2)
    assert log.days == told == [on(0), on(1), on(2), on(3)]
    assert log.history == [on(0), on(1)]
    assert log.transactions == [each for day in days(4) for each in day.transactions]


def test_who_does_not_answer_in_a_day_in_step_is_named(run: Callable[..., Log]) -> None:
    with pytest.raises(CardwatchError, match=r"waited 0\.05 s for the monitor to report 2025-01-06"):
        run(Topic(CHAMPION, answer=lambda day: [archived(day)]), history_days=0, wait_timeout_seconds=0.05)


def test_at_a_rate_transactions_are_sent_evenly_and_nobody_is_waited_for(run: Callable[..., Log]) -> None:
    rate = 500.0
    begin = time.monotonic()
    log = run(Topic(CHAMPION, answer=lambda _: []), history_days=0, live_days=1, live_rate_per_second=rate)
    [events] = days(1)
    assert log.transactions == events.transactions
    ahead = [number - (at - begin) * rate for number, at in enumerate(log.times)]
    assert max(ahead) <= 1.0  # never before it is due
    assert log.times[-1] - begin >= (len(events.transactions) - 1) / rate
    assert log.days == [on(0)]


def test_without_an_end_it_goes_on_until_it_is_stopped(run: Callable[..., Log], process: Process) -> None:
    def answer(day: date) -> list[Progress]:
        if day == on(59):
            process.stopping.set()
        return [archived(day)]

    endless = {"live_days": None, "days_after_promotion": None, "live_rate_per_second": FAST}
    log = run(Topic(CHAMPION, answer=answer), history_days=0, **endless)
    assert log.days[-1] == on(59)  # more than the 45 days that a plan has by default
    assert log.announced == []


def test_at_a_rate_it_is_never_more_than_three_days_ahead_of_the_archive(
    run: Callable[..., Log], process: Process, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "SAY_AFTER_SECONDS", 0.0)
    topic = Topic(CHAMPION, answer=lambda _: [])
    log = Log(topic)
    plan = Plan(world=WORLD, history_days=0, live_days=9, live_rate_per_second=FAST, wait_timeout_seconds=0.05)
    behind = r"the archive, which is more than 3 days behind 2025-01-10"
    with caplog.at_level(logging.INFO), pytest.raises(CardwatchError, match=behind):
        Schedule(plan, log, topic, process, GeneratorMetrics(CollectorRegistry())).run()  # type: ignore[arg-type]
    # Nothing is archived, as if the day before the first were: the fifth day is the fourth after it.
    assert log.days == [on(0), on(1), on(2), on(3), on(4)]
    assert "waiting for the archive, which is more than 3 days behind 2025-01-10" in caplog.messages
    assert process.health.why_not_ready == "it needs the archive, which is more than 3 days behind 2025-01-10"


def test_a_plan_that_was_interrupted_sends_what_is_left_and_nothing_twice(run: Callable[..., Log]) -> None:
    # Day 2 was on its way: every other transaction of it is in the log, as partitions go at speeds of their own.
    *_, today, after = days(4)
    half = today.transactions[::2]
    told = [emitted(on(0), decided=False), archived(on(0)), CHAMPION, emitted(on(1)), archived(on(1)), monitored(on(1))]
    log = run(Topic(*told), sent_before=half, history_days=1, live_days=3, live_rate_per_second=FAST)
    assert log.resumed_after == emitted(on(1))
    assert log.transactions == today.transactions[1::2] + after.transactions
    assert log.days == [on(2), on(3)]


def test_a_day_in_step_that_was_sent_before_an_interruption_is_still_waited_for(run: Callable[..., Log]) -> None:
    with pytest.raises(CardwatchError, match="for the monitor to report 2025-01-06"):
        run(Topic(CHAMPION, emitted(on(0)), archived(on(0))), history_days=0, wait_timeout_seconds=0.05)


def test_the_phase_at_a_fixed_rate_takes_up_after_the_same_days_as_before_an_interruption(process: Process) -> None:
    promoted = RetrainingEnded(day=on(0), challenger_version="2", promoted=True, reasons=[])
    plan = Plan(world=WORLD, history_days=0, days_after_promotion=1, rate_per_second=FAST, rate_seconds=0.001)
    expected = days(3)[2].transactions[:20]

    def sent_after(*told: Progress, sent_before: Sequence[Transaction] = ()) -> list[Transaction]:
        topic = Topic(CHAMPION, promoted, *told)
        log = Log(topic, sent_before)
        Schedule(plan, log, topic, process, GeneratorMetrics(CollectorRegistry())).run()  # type: ignore[arg-type]
        [ended] = [record for record in log.announced if isinstance(record, RateEnded)]
        assert ended.transactions == 20
        return [each for each in log.transactions if each in expected]

    both = [record for day in (on(0), on(1)) for record in (emitted(day), archived(day), monitored(day))]
    assert sent_after() == expected
    assert sent_after(*both, sent_before=expected[:5]) == expected[5:]


def test_a_plan_that_is_done_does_nothing_when_started_again(run: Callable[..., Log]) -> None:
    ended = RateEnded(day=on(1), transactions=0, transaction_ends={})
    log = run(Topic(emitted(on(0), decided=False), CHAMPION, ended), history_days=1, live_days=0)
    assert (log.transactions, log.days, log.announced) == ([], [], [])


def test_it_is_ready_while_it_sends_and_says_what_it_needs(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "SAY_AFTER_SECONDS", 0.0)
    reasons: list[str | None] = []

    class Slow(Topic):
        def poll(self, timeout_seconds: float) -> Progress | None:
            reasons.append(process.health.why_not_ready)
            if len(reasons) == 3:
                self.waiting.append(CHAMPION)
            return super().poll(timeout_seconds)

    topic = Slow()
    Schedule(
        Plan(world=WORLD, history_days=0, live_days=0, rate_seconds=0.0),
        Log(topic),  # type: ignore[arg-type]
        topic,
        process,
        GeneratorMetrics(CollectorRegistry()),
    ).run()
    assert set(reasons) == {"it needs the first champion"}
    assert process.health.why_not_ready is None


def test_the_plan_for_users_runs_until_it_is_stopped() -> None:
    plan = read_plan(Path(__file__).parents[4] / "examples" / "plans" / "endless.json")
    assert (plan.live_days, plan.days_after_promotion) == (None, None)
    assert plan.world.change_day == plan.history_days + 20


@pytest.mark.parametrize(
    ("written", "refusal"),
    [
        ("{", "truncated"),
        ('{"world": {"seed": 1}, "cards": 5}', "unknown field `cards`"),
        ('{"world": {"seed": 1, "card": 5}}', r"unknown field `card` - at `\$\.world`"),
        ('{"world": {"seed": 1}, "live_rate_per_second": 0}', r"`\$\.live_rate_per_second`"),
        ('{"world": {"seed": 1}, "history_days": -1}', r"`\$\.history_days`"),
        ('{"world": {"seed": 1, "cards": 3}}', "cards=3 must be at least 50"),
    ],
)
def test_a_plan_that_cannot_be_used_is_refused_with_what_is_wrong(tmp_path: Path, written: str, refusal: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(written)
    with pytest.raises(Misconfigured, match=refusal):
        read_plan(path)


def test_a_plan_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"plan .*nowhere\.json: .*No such file"):
        read_plan(tmp_path / "nowhere.json")


def test_plans_of_before_mean_what_they_meant(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"world": {"seed": 7}}))
    plan = read_plan(path)
    assert (plan.live_rate_per_second, plan.history_in_step, plan.live_days) == (None, False, 45)
