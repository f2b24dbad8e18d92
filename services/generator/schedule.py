"""What the generator does, day by day: history, live days in step or at a rate, then a phase at a fixed rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import count
from typing import Final, Protocol

from adapters.runtime.process import Process
from cardwatch.errors import CardwatchError
from cardwatch.events import Transaction
from cardwatch.progress import (
    Bootstrapped,
    DayArchived,
    DayEmitted,
    DayMonitored,
    Progress,
    RateEnded,
    RateStarted,
    RetrainingEnded,
)
from cardwatch.simulation.simulation import EventsOfDay, Simulation
from services.generator.metrics import GeneratorMetrics
from services.generator.plan import Plan
from services.generator.sender import Source, Stopped

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.005
SAY_AFTER_SECONDS: Final = 3.0
MAX_DAYS_AHEAD: Final = 3
"""At a rate, the source waits for nobody, but for an archive that has fallen behind by so many days."""


class Follower(Protocol):
    """The topic `progress`, see `adapters.kafka.progress.ProgressReader`."""

    def poll(self, timeout_seconds: float) -> Progress | None:
        """The next record, or None if none has come in time."""
        ...

    def caught_up(self) -> bool:
        """Whether all that is in the topic has been returned."""
        ...


class Schedule:
    """Runs a plan. It never looks at decisions: the world goes its way whatever we decide.

    What was sent before an interruption is not sent again: the topic says which days were sent whole, and what the log
    holds after those is left out of the next. A day of the world follows from the days before it, so these are made
    again, some hundred a second, and not sent.
    """

    def __init__(
        self, plan: Plan, source: Source, progress: Follower, process: Process, metrics: GeneratorMetrics
    ) -> None:
        self._plan, self._source, self._progress, self._process = plan, source, progress, process
        self._metrics = metrics
        self._world = Simulation(plan.world)
        self._next_day = 0
        self._today: date | None = None
        self._emitted: dict[date, DayEmitted] = {}
        self._bootstrapped = False
        self._archived: date | None = None
        self._monitored: date | None = None
        self._promoted: date | None = None
        self._rate_ended = False

    def run(self) -> None:
        """History, live days, fixed rate; returns early if asked to stop."""
        try:
            self._catch_up()
            for _ in range(self._plan.history_days):
                self._history_day()
            self._until("the first champion", lambda: self._bootstrapped)
            for number in count():
                if number == self._plan.live_days or self._is_long_after_promotion():
                    break
                self._live_day()
            if not self._rate_ended:
                self._fixed_rate()
        except Stopped:
            log.info("stopped before the end of the plan")

    def _catch_up(self) -> None:
        while not self._progress.caught_up():
            self._take_next()
        newest = max(self._emitted, default=None)
        if newest is not None:
            log.info("going on after %s", newest)
        self._source.resume_after(self._emitted[newest] if newest else None)

    def _day(self) -> EventsOfDay:
        self._process.health.turn()
        events = self._world.day(self._next_day)
        self._next_day += 1
        self._today = events.day
        return events

    def _history_day(self) -> None:
        events = self._day()
        if events.day not in self._emitted:
            self._source.send_day(events, decided=False)
            self._sent(events)
        if self._plan.history_in_step:
            self._until(f"the archive to report {events.day}", lambda: self._has_archived(events.day))

    def _live_day(self) -> None:
        events = self._day()
        if events.day not in self._emitted:
            rate = self._plan.live_rate_per_second
            for due in [events.transactions] if rate is None else self._evenly(events.transactions, rate):
                self._source.send(due)
            self._source.send_rest_of_day(events, decided=True)
            self._sent(events)
        self._follow_live_day(events.day)

    def _follow_live_day(self, day: date) -> None:
        if self._plan.live_rate_per_second is None:
            self._until(f"the archive to report {day}", lambda: self._has_archived(day))
            self._until(f"the monitor to report {day}", lambda: (self._monitored or date.min) >= day)
            return
        while (record := self._progress.poll(0.0)) is not None:
            self._note(record)
        self._until(
            f"the archive, which is more than {MAX_DAYS_AHEAD} days behind {day}",
            lambda: (day - (self._archived or self._plan.world.first_day)).days <= MAX_DAYS_AHEAD,
        )

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
        for part in self._evenly(transactions, rate):
            self._source.send(part)
        self._source.announce(
            RateEnded(day=days[0].day, transactions=len(transactions), transaction_ends=self._source.ends())
        )

    def _evenly(self, transactions: Sequence[Transaction], rate: float) -> Iterator[Sequence[Transaction]]:
        """What is due now, again and again, of those not sent before; after a standstill all that was due in it."""
        transactions = self._source.unsent(transactions)
        sent, start = 0, time.monotonic()
        while sent < len(transactions):
            self._process.health.turn()
            if self._process.stopping.is_set():
                raise Stopped
            by_now = min(int((time.monotonic() - start) * rate) + 1, len(transactions))
            yield transactions[sent:by_now]
            sent = by_now
            time.sleep(TICK_SECONDS)

    def _sent(self, events: EventsOfDay) -> None:
        self._metrics.sent_day(events.day)
        log.info("%s: %d transactions and %d labels", events.day, len(events.transactions), len(events.labels))

    def _has_archived(self, day: date) -> bool:
        return self._archived is not None and self._archived >= day

    def _is_long_after_promotion(self) -> bool:
        after = self._plan.days_after_promotion
        if after is None or self._promoted is None or self._today is None:
            return False
        return (self._today - self._promoted).days >= after

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        begin, said = time.monotonic(), False
        while not reached():
            waited = time.monotonic() - begin
            if waited > self._plan.wait_timeout_seconds:
                raise CardwatchError(f"waited {self._plan.wait_timeout_seconds:g} s for {what}, in vain; see its log")
            if waited > SAY_AFTER_SECONDS and not said:
                said = True
                log.info("waiting for %s", what)
                self._process.health.waiting(f"it needs {what}")
            self._take_next()
        if said:
            log.info("no longer waiting for %s", what)
        self._process.health.ready()

    def _take_next(self) -> None:
        self._process.health.turn()
        if self._process.stopping.is_set():
            raise Stopped
        if (record := self._progress.poll(0.2)) is not None:
            self._note(record)

    def _note(self, record: Progress) -> None:
        match record:
            case DayEmitted(inferred=False):
                self._emitted[record.day] = record
            case Bootstrapped():
                self._bootstrapped = True
            case DayArchived():
                self._archived = record.day
            case DayMonitored():
                self._monitored = record.day
            case RetrainingEnded(promoted=True):
                self._promoted = self._promoted or record.day
            case RateEnded():
                self._rate_ended = True
            case _:
                pass
