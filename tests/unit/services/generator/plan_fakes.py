"""Fakes of what a plan runner talks to, and the days of a small world."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta

from cardwatch.events import Label, Transaction
from cardwatch.progress import Bootstrapped, DayArchived, DayEmitted, Progress
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import EventsOfDay, Simulation
from tests.monitored_days import stable_day

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


def immediate_answer(day: date) -> list[Progress]:
    return [archived(day), stable_day(day)]


class FakeProgress:
    """A progress reader with given records, and the answers of the other services to a day that was sent."""

    def __init__(self, *records: Progress, answer: Callable[[date], Sequence[Progress]] = immediate_answer) -> None:
        self.waiting = list(records)
        self.answer = answer

    def poll(self, timeout_seconds: float) -> Progress | None:
        return self.waiting.pop(0) if self.waiting else None

    def caught_up(self) -> bool:
        return not self.waiting


class FakeSender:
    """Keeps the transactions with the times of their sending, the ended days and the announcements."""

    def __init__(self, topic: FakeProgress, sent_before: Iterable[Transaction] = ()) -> None:
        self.topic = topic
        self.transactions: list[Transaction] = []
        self.times: list[float] = []
        self.days: list[date] = []
        self.labels: list[Label] = []
        self.announced: list[Progress] = []
        self.resumed_after: DayEmitted | None = None
        self.history: list[date] = []
        self.poison_records = 0
        self._sent_before = {each.transaction_id for each in sent_before}
        self._labels_before: list[Label] = []

    def resume_after(self, day: DayEmitted | None, labels_after: DayEmitted | None) -> None:
        self.resumed_after = day
        self.labels_after = labels_after

    @property
    def has_part_of_day(self) -> bool:
        return bool(self._sent_before)

    def labels_in_log(self, labels: Iterable[Label]) -> None:
        """Let these labels be in the log from before an interruption."""
        self._labels_before += labels

    def unsent_labels(self, labels: Sequence[Label]) -> list[Label]:
        return [each for each in labels if each not in self._labels_before]

    def send_labels(self, labels: Sequence[Label]) -> None:
        self.labels += self.unsent_labels(labels)

    def send_poison(self) -> None:
        self.poison_records += 1

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
        self.send_labels(events.labels)
        self._sent_before.clear()
        if not decided:
            self.history.append(events.day)
        self.topic.waiting += self.topic.answer(events.day)

    def ends(self) -> dict[str, int]:
        return {}

    def announce(self, record: Progress) -> None:
        self.announced.append(record)
        self.topic.waiting.append(record)
