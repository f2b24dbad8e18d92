"""The plan runner: what is sent when, what it waits for, and what is sent after an interruption."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from adapters.runtime.health import Health
from adapters.runtime.process import Process
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.events import Action, Label, Transaction, encode
from cardwatch.progress import ModelMoved, Progress, RateEnded
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.selection import SelectionSettings
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from services.generator import plan_runner
from services.generator.decisions import DecidedActions
from services.generator.metrics import GeneratorMetrics
from services.generator.plan import Plan, read_plan
from services.generator.plan_runner import PlanRunner
from tests.monitored_days import stable_day
from tests.unit.services.generator.plan_fakes import (
    CHAMPION,
    FAST,
    WORLD,
    FakeProgress,
    FakeSender,
    archived,
    days,
    emitted,
    immediate_answer,
    on,
)
from tests.unit.services.records_of_others import DECISION


@pytest.fixture
def process() -> Process:
    return Process(Settings(), Health(), Event())


@pytest.fixture
def run(process: Process) -> Callable[..., FakeSender]:
    def start(topic: FakeProgress, sent_before: Iterable[Transaction] = (), **plan: object) -> FakeSender:
        sender = FakeSender(topic, sent_before)
        full_plan = Plan(world=WORLD, rate_seconds=0.0, **plan)  # type: ignore[arg-type]
        PlanRunner(full_plan, sender, topic, process, GeneratorMetrics(CollectorRegistry())).run()  # type: ignore[arg-type]
        return sender

    return start


def test_history_is_sent_without_waits_and_a_live_day_when_the_day_before_is_monitored(
    run: Callable[..., FakeSender],
) -> None:
    records: list[date] = []

    def answer(day: date) -> list[Progress]:
        records.append(day)
        return immediate_answer(day)

    sender = run(FakeProgress(CHAMPION, answer=answer), history_days=2, live_days=2)
    assert sender.days == records == [on(0), on(1), on(2), on(3)]
    assert sender.history == [on(0), on(1)]
    assert sender.transactions == [each for day in days(4) for each in day.transactions]


def test_a_timeout_in_step_names_the_missing_service(run: Callable[..., FakeSender]) -> None:
    with pytest.raises(CardwatchError, match=r"waited 0\.05 s for the monitor to report 2025-01-06"):
        run(FakeProgress(CHAMPION, answer=lambda day: [archived(day)]), history_days=0, wait_timeout_seconds=0.05)


def test_at_a_rate_transactions_are_sent_evenly_without_waits(run: Callable[..., FakeSender]) -> None:
    rate = 500.0
    begin = time.monotonic()
    sender = run(FakeProgress(CHAMPION, answer=lambda _: []), history_days=0, live_days=1, live_rate_per_second=rate)
    [events] = days(1)
    assert sender.transactions == events.transactions
    ahead = [number - (at - begin) * rate for number, at in enumerate(sender.times)]
    assert max(ahead) <= 1.0  # never before it is due
    assert sender.times[-1] - begin >= (len(events.transactions) - 1) / rate
    assert sender.days == [on(0)]


def test_a_plan_without_an_end_runs_until_it_is_stopped(run: Callable[..., FakeSender], process: Process) -> None:
    def answer(day: date) -> list[Progress]:
        if day == on(59):
            process.stopping.set()
        return [archived(day)]

    endless = {"live_days": None, "days_after_promotion": None, "live_rate_per_second": FAST}
    sender = run(FakeProgress(CHAMPION, answer=answer), history_days=0, **endless)
    assert sender.days[-1] == on(59)  # more than the 45 days that a plan has by default
    assert sender.announced == []


def test_at_a_rate_the_generator_is_at_most_three_days_ahead_of_the_archive(
    run: Callable[..., FakeSender], process: Process, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_runner, "REPORT_AFTER_SECONDS", 0.0)
    topic = FakeProgress(CHAMPION, answer=lambda _: [])
    sender = FakeSender(topic)
    plan = Plan(world=WORLD, history_days=0, live_days=9, live_rate_per_second=FAST, wait_timeout_seconds=0.05)
    behind = r"the archive, which is more than 3 days behind 2025-01-10"
    with caplog.at_level(logging.INFO), pytest.raises(CardwatchError, match=behind):
        PlanRunner(plan, sender, topic, process, GeneratorMetrics(CollectorRegistry())).run()  # type: ignore[arg-type]
    # Nothing is archived, which counts as the first day: the fifth day is the fourth after it.
    assert sender.days == [on(0), on(1), on(2), on(3), on(4)]
    assert "waiting for the archive, which is more than 3 days behind 2025-01-10" in caplog.messages
    assert process.health.why_not_ready == "it needs the archive, which is more than 3 days behind 2025-01-10"


def test_an_interrupted_plan_sends_the_rest_and_nothing_twice(run: Callable[..., FakeSender]) -> None:
    # Day 2 was sent in part: every other transaction of it is in the log, as partitions differ in speed.
    *_, today, after = days(4)
    half = today.transactions[::2]
    records = [
        emitted(on(0), decided=False),
        archived(on(0)),
        CHAMPION,
        emitted(on(1)),
        archived(on(1)),
        stable_day(on(1)),
    ]
    sender = run(FakeProgress(*records), sent_before=half, history_days=1, live_days=3, live_rate_per_second=FAST)
    assert sender.resumed_after == emitted(on(1))
    assert sender.transactions == today.transactions[1::2] + after.transactions
    assert sender.days == [on(2), on(3)]


def test_after_an_interruption_a_sent_day_in_step_is_still_awaited(run: Callable[..., FakeSender]) -> None:
    with pytest.raises(CardwatchError, match="for the monitor to report 2025-01-06"):
        run(FakeProgress(CHAMPION, emitted(on(0)), archived(on(0))), history_days=0, wait_timeout_seconds=0.05)


def test_the_fixed_rate_phase_follows_the_same_days_after_an_interruption(process: Process) -> None:
    promoted = ModelMoved(
        day=on(0), number=5, kind="promote", version="2", champion_version="2", actor="ladder", reason="it passed"
    )
    plan = Plan(world=WORLD, history_days=0, days_after_promotion=1, rate_per_second=FAST, rate_seconds=0.001)
    expected = days(3)[2].transactions[:20]

    def sent_after(*records: Progress, sent_before: Sequence[Transaction] = ()) -> list[Transaction]:
        topic = FakeProgress(CHAMPION, promoted, *records)
        sender = FakeSender(topic, sent_before)
        PlanRunner(plan, sender, topic, process, GeneratorMetrics(CollectorRegistry())).run()  # type: ignore[arg-type]
        [ended] = [record for record in sender.announced if isinstance(record, RateEnded)]
        assert ended.transactions == 20
        return [each for each in sender.transactions if each in expected]

    both = [record for day in (on(0), on(1)) for record in (emitted(day), archived(day), stable_day(day))]
    assert sent_after() == expected
    assert sent_after(*both, sent_before=expected[:5]) == expected[5:]


def test_a_finished_plan_sends_nothing_when_restarted(run: Callable[..., FakeSender]) -> None:
    ended = RateEnded(day=on(1), transactions=0, transaction_ends={})
    sender = run(FakeProgress(emitted(on(0), decided=False), CHAMPION, ended), history_days=1, live_days=0)
    assert (sender.transactions, sender.days, sender.announced) == ([], [], [])


def test_the_generator_is_ready_while_it_sends_and_reports_what_it_waits_for(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_runner, "REPORT_AFTER_SECONDS", 0.0)
    reasons: list[str | None] = []

    class Slow(FakeProgress):
        def poll(self, timeout_seconds: float) -> Progress | None:
            reasons.append(process.health.why_not_ready)
            if len(reasons) == 3:
                self.waiting.append(CHAMPION)
            return super().poll(timeout_seconds)

    topic = Slow()
    PlanRunner(
        Plan(world=WORLD, history_days=0, live_days=0, rate_seconds=0.0),
        FakeSender(topic),  # type: ignore[arg-type]
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
        ('{"world": {"seed": 1, "merchants": 600000}}', "merchants=600000 must be at most 524288"),
        (
            '{"world": {"seed": 1, "reacting_fraudsters": true}, "live_rate_per_second": 9}',
            "reacting_fraudsters need live days in step",
        ),
        (
            '{"world": {"seed": 1, "labels": {"selection": {}}}, "live_rate_per_second": 9}',
            "selection and .* need live days in step",
        ),
        ('{"world": {"seed": 1, "labels": {"days_ratio": 2}}}', r"days_ratio=2.0 must be .* at `\$\.world\.labels`"),
    ],
)
def test_an_invalid_plan_is_refused_with_its_error(tmp_path: Path, written: str, refusal: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(written)
    with pytest.raises(Misconfigured, match=refusal):
        read_plan(path)


def test_a_missing_plan_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"plan .*nowhere\.json: .*No such file"):
        read_plan(tmp_path / "nowhere.json")


def test_omitted_keys_of_a_plan_have_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"world": {"seed": 7}}))
    plan = read_plan(path)
    assert (plan.live_rate_per_second, plan.history_in_step, plan.live_days) == (None, False, 45)


def test_a_plan_sets_how_labels_arrive(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"world": {"seed": 7, "labels": {"chargeback_days": [3, 12]}}}))
    assert read_plan(path).world.labels == LabelSettings(chargeback_days=(3.0, 12.0))


def test_labels_that_arrive_later_than_policies_expect_are_told(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    for labels in (LabelSettings(), LabelSettings(chargeback_days=(3, 12))):
        world = SimulationSettings(seed=3, cards=50, labels=labels)
        topic = FakeProgress(CHAMPION)
        PlanRunner(
            Plan(world=world, history_days=0, live_days=0, rate_seconds=0.0),
            FakeSender(topic),  # type: ignore[arg-type]
            topic,
            process,
            GeneratorMetrics(CollectorRegistry()),
        ).run()
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(told) == (labels != LabelSettings())
    assert "within 12 days: the policy file needs maturity_days = 12 in [drift]" in told[0]


def test_the_old_name_of_a_key_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"world": {"seed": 7}, "patience_seconds": 5.0}))
    assert read_plan(path).wait_timeout_seconds == 5.0
    assert "patience_seconds is called wait_timeout_seconds now" in caplog.text


SELECTIVE = structs.replace(
    WORLD, fraud_share=0.05, labels=LabelSettings(selection=SelectionSettings(confirmed_share=0.5))
)


def action_on(transaction: Transaction) -> Action:
    """A stream that declines every other transaction, and challenges every fifth one of the rest."""
    number = int(transaction.transaction_id[-6:])
    return Action.DECLINE if number % 2 else Action.CHALLENGE if number % 5 == 0 else Action.APPROVE


class FakeStream:
    """Decides what was sent, a few transactions with each poll, and again what is in the log from before."""

    def __init__(self, sender: FakeSender, decided_before: Iterable[Transaction] = ()) -> None:
        self.actions, self._sender = DecidedActions(), sender
        self._before, self._next = list(decided_before), 0

    def poll(self, timeout_seconds: float) -> None:
        log = self._before + self._sender.transactions
        for transaction in log[self._next : self._next + 40]:
            self.actions.add(encode(structs.replace(DECISION, transaction=transaction, action=action_on(transaction))))
        self._next = min(self._next + 40, len(log))


def labels_after_decisions(world: SimulationSettings, live_from: int, count: int) -> list[list[Label]]:
    simulation, found = Simulation(world), []
    for number in range(count):
        sent = simulation.begin_records(number)
        codes = np.array([list(Action).index(action_on(each)) for each in sent], np.int8)
        events = simulation.end_records(sent, codes if number >= live_from else None)
        if number >= live_from:
            simulation.observe_declines(number, codes == list(Action).index(Action.DECLINE))
        found.append(events.labels)
    return found


def run_with_stream(
    process: Process, topic: FakeProgress, world: SimulationSettings, *, live: int, decided: Sequence[Transaction] = ()
) -> FakeSender:
    sender = FakeSender(topic, decided)
    plan = Plan(world=world, history_days=2, live_days=live, rate_seconds=0.0)
    metrics = GeneratorMetrics(CollectorRegistry())
    PlanRunner(plan, sender, topic, process, metrics, FakeStream(sender, decided)).run()  # type: ignore[arg-type]
    return sender


@pytest.mark.parametrize("reacts", [False, True])
def test_labels_of_live_days_depend_on_the_decisions_and_those_of_history_do_not(
    process: Process, reacts: bool
) -> None:
    world = structs.replace(SELECTIVE, reacting_fraudsters=reacts)
    sent = run_with_stream(process, FakeProgress(CHAMPION), world, live=4).labels
    assert sent == [label for day in labels_after_decisions(world, 2, 6) for label in day]
    assert sent != [label for day in labels_after_decisions(world, 6, 6) for label in day]


def test_an_interrupted_plan_gives_the_labels_of_one_that_was_not(process: Process) -> None:
    # Days 0 to 3 were sent, and half of day 4; the stream had decided only some of that.
    simulation = Simulation(SELECTIVE)
    days_sent = [simulation.day(number).transactions for number in range(5)]
    before = [each for day in days_sent[2:4] for each in day] + days_sent[4][: len(days_sent[4]) // 2]
    records = [emitted(on(0), decided=False), emitted(on(1), decided=False), CHAMPION]
    records += [record for number in (2, 3) for record in (emitted(on(number)), *immediate_answer(on(number)))]
    sender = run_with_stream(process, FakeProgress(*records), SELECTIVE, live=4, decided=before)
    assert sender.days == [on(4), on(5)]
    assert sender.labels == [label for day in labels_after_decisions(SELECTIVE, 2, 6)[4:] for label in day]


def test_labels_wait_for_the_decisions_and_a_timeout_names_the_stream(process: Process) -> None:
    class Idle(FakeStream):
        def poll(self, timeout_seconds: float) -> None:
            pass

    topic = FakeProgress(CHAMPION)
    sender = FakeSender(topic)
    plan = Plan(world=SELECTIVE, history_days=0, live_days=1, wait_timeout_seconds=0.05)
    runner = PlanRunner(plan, sender, topic, process, GeneratorMetrics(CollectorRegistry()), Idle(sender))  # type: ignore[arg-type]
    with pytest.raises(CardwatchError, match=r"waited 0\.05 s for the stream to decide 2025-01-06"):
        runner.run()
    assert sender.transactions and not sender.days


def test_the_first_decision_on_a_transaction_counts_and_others_are_ignored() -> None:
    [first, second] = days(1)[0].transactions[:2]
    actions = DecidedActions()
    for transaction, action in ((first, Action.DECLINE), (first, Action.APPROVE)):
        actions.add(encode(structs.replace(DECISION, transaction=transaction, action=action)))
    assert actions.undecided([first, second]) == 1
    assert actions.take([first, first]).tolist() == [2, 2]
    assert actions.undecided([first]) == 1
