"""What the generator does, day by day: history at once, live days in step, then a phase at a fixed rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import date
from threading import Event
from typing import Final, Protocol

from cardwatch.errors import CardwatchError
from cardwatch.progress import (
    Bootstrapped,
    DayArchived,
    DayMonitored,
    Progress,
    RateEnded,
    RateStarted,
    RetrainingEnded,
)
from cardwatch.world.world import EventsOfDay, World
from services.generator.plan import Plan
from services.generator.sending import Source

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.005


class Follower(Protocol):
    """The topic `progress`, see `adapters.kafka.ProgressReader`."""

    def poll(self, timeout_seconds: float) -> Progress | None:
        """The next record, or None if none has come in time."""
        ...


class Stopped(Exception):
    """We were asked to stop while we waited."""


class Schedule:
    """Runs a plan. It never looks at decisions: the world goes its way whatever we decide."""

    def __init__(self, plan: Plan, source: Source, progress: Follower, stopping: Event) -> None:
        self._plan, self._source, self._progress, self._stopping = plan, source, progress, stopping
        self._world = World(plan.world)
        self._next_day = 0
        self._bootstrapped = False
        self._archived: date | None = None
        self._monitored: date | None = None
        self._promoted: date | None = None

    def run(self) -> None:
        """History, live days, fixed rate; returns early if asked to stop."""
        try:
            for _ in range(self._plan.history_days):
                self._source.send_day(self._day(), decided=False)
            self._until("the first champion", lambda: self._bootstrapped)
            for _ in range(self._plan.live_days):
                today = self._live_day()
                if self._promoted and (today - self._promoted).days >= self._plan.days_after_promotion:
                    break
            self._fixed_rate()
        except Stopped:
            log.info("stopped before the end of the plan")

    def _day(self) -> EventsOfDay:
        self._next_day += 1
        return self._world.day(self._next_day - 1)

    def _live_day(self) -> date:
        events = self._day()
        self._source.send_day(events, decided=True)
        self._until(f"the archive to report {events.day}", lambda: self._archived == events.day)
        self._until(f"the monitor to report {events.day}", lambda: self._monitored == events.day)
        return events.day

    def _fixed_rate(self) -> None:
        """An open loop: what is due is sent on time, however the system copes with it."""
        rate, seconds = self._plan.rate_per_second, self._plan.rate_seconds
        due = round(rate * seconds)
        days = [self._day()]
        while sum(len(events.transactions) for events in days) < due:
            days.append(self._day())
        transactions = [transaction for events in days for transaction in events.transactions][:due]
        if not transactions:
            return
        self._source.announce(RateStarted(day=days[0].day, rate_per_second=rate, seconds=seconds))
        sent, start = 0, time.monotonic()
        while sent < len(transactions) and not self._stopping.is_set():
            by_now = min(int((time.monotonic() - start) * rate) + 1, len(transactions))
            self._source.send(transactions[sent:by_now])
            sent = by_now
            time.sleep(TICK_SECONDS)
        self._source.announce(RateEnded(day=days[0].day, transactions=sent, transaction_ends=self._source.ends()))

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._plan.patience_seconds
        while not reached():
            if self._stopping.is_set():
                raise Stopped
            if time.monotonic() > deadline:
                raise CardwatchError(f"waited {self._plan.patience_seconds:g} s for {what}, in vain; see its log")
            if (record := self._progress.poll(0.2)) is not None:
                self._note(record)

    def _note(self, record: Progress) -> None:
        if isinstance(record, Bootstrapped):
            self._bootstrapped = True
        elif isinstance(record, DayArchived):
            self._archived = record.day
        elif isinstance(record, DayMonitored):
            self._monitored = record.day
        elif isinstance(record, RetrainingEnded) and record.promoted:
            self._promoted = self._promoted or record.day
