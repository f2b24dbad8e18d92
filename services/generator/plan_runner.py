"""Execution of a plan: history, live days in step or at a rate, then a phase at a fixed rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import count
from typing import Final

from adapters.kafka.progress import ProgressReader
from adapters.runtime.process import Process
from adapters.runtime.retry import StoppableRetry, Stopped
from cardwatch.errors import CardwatchError
from cardwatch.events import Transaction
from cardwatch.label_maturity import DEFAULT_MATURITY_DAYS
from cardwatch.progress import (
    Bootstrapped,
    DayArchived,
    DayEmitted,
    DayMonitored,
    ModelMoved,
    Progress,
    RateEnded,
    RateStarted,
)
from cardwatch.simulation.selection import DECLINE, Actions
from cardwatch.simulation.simulation import EventsOfDay, Simulation
from services.generator.decisions import DecisionReader
from services.generator.faults import LiveFaults
from services.generator.metrics import GeneratorMetrics
from services.generator.plan import Plan
from services.generator.sender import EventSender

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.005
"""Interval at which due transactions are sent."""
REPORT_AFTER_SECONDS: Final = 3.0
"""Duration of a wait from which it is logged and reported to `health`."""
MAX_DAYS_AHEAD: Final = 3
"""Maximum number of days that live days at a rate may be ahead of the archive."""


class PlanRunner:
    """Runs a plan. `decisions` are read for the labels of live days, if the plan's world depends on them.

    After an interruption nothing is sent again: the topic `progress` says which days were sent completely, and the
    records in the log after those are left out of the next days. Days that were sent are simulated again, some hundred
    per second, because each day depends on the days before it, with the decisions that the log has on them. So equal
    decisions give equal labels, however often the generator was interrupted.
    """

    def __init__(
        self,
        plan: Plan,
        sender: EventSender,
        progress: ProgressReader,
        process: Process,
        metrics: GeneratorMetrics,
        decisions: DecisionReader | None = None,
    ) -> None:
        self._plan, self._sender, self._progress, self._health = plan, sender, progress, process.health
        self._retry = StoppableRetry(process.stopping, process.health)
        self._metrics = metrics
        self._simulation, self._decisions = Simulation(plan.world), decisions
        self._next_day = 0
        self._today: date | None = None
        self._emitted: dict[date, DayEmitted] = {}
        self._faults = LiveFaults(sender, self._read_waiting)
        self._bootstrapped = False
        self._archived: date | None = None
        self._monitored: date | None = None
        self._promoted: date | None = None
        self._rate_ended = False

    def run(self) -> None:
        """Send history, live days and the fixed-rate phase; return early when asked to stop."""
        if (days := self._plan.world.labels.maturity_days) > DEFAULT_MATURITY_DAYS:
            log.warning(
                "99 %% of the reports of fraud arrive within %d days: the policy file needs maturity_days = %d in "
                "[drift]; otherwise late fraud counts as genuine",
                days,
                days,
            )
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
            self._read_next()
        newest = self._newest_sent_day()
        if newest is not None:
            log.info("continuing after %s", newest)
        last = self._emitted[newest] if newest else None
        self._sender.resume_after(last, self._faults.labels_known_after(self._emitted, last))

    def _newest_sent_day(self) -> date | None:
        """Return the last day of the unbroken sequence of sent days; a later one is another source's."""
        day, newest = self._plan.world.first_day, None
        while day in self._emitted:
            day, newest = day + timedelta(days=1), day
        return newest

    def _approved_day(self) -> EventsOfDay:
        """Return the next day, on which everything is approved."""
        return self._end_day(self._begin_day())

    def _begin_day(self) -> list[Transaction]:
        self._health.turn()
        transactions = self._simulation.begin_records(self._next_day)
        self._today = self._plan.world.first_day + timedelta(days=self._next_day)
        self._next_day += 1
        return transactions

    def _end_day(self, transactions: list[Transaction], actions: Actions | None = None) -> EventsOfDay:
        events = self._simulation.end_records(transactions, actions)
        if actions is not None:
            self._simulation.observe_declines(self._next_day - 1, actions == DECLINE)
        return events

    def _actions(self, transactions: Sequence[Transaction]) -> Actions | None:
        """Wait until all transactions of a live day are decided, and return their actions."""
        if (decisions := self._decisions) is None:
            return None
        self._until(
            f"the stream to decide {self._today}",
            lambda: decisions.actions.undecided(transactions) == 0,
            lambda: decisions.poll(0.2),
        )
        return decisions.actions.take(transactions)

    def _history_day(self) -> None:
        events = self._approved_day()
        if events.day not in self._emitted:
            self._sender.send_day(events, decided=False)
            self._sent(events)
        if self._plan.history_in_step:
            self._until(f"the archive to report {events.day}", lambda: self._has_archived(events.day))

    def _live_day(self) -> None:
        day = self._plan.world.first_day + timedelta(days=self._next_day)
        is_new = day not in self._emitted
        is_untouched = is_new and not self._sender.has_part_of_day
        self._simulation = self._faults.begin_day(self._simulation, self._next_day, day, is_new=is_untouched)
        transactions = self._begin_day()
        if is_new:
            rate = self._plan.live_rate_per_second
            for due in [transactions] if rate is None else self._evenly(transactions, rate, self._faults.rate_ratio):
                self._faults.send(due, self._simulation, day)
        events = self._end_day(transactions, self._actions(transactions))
        if is_new:
            self._sender.send_rest_of_day(self._faults.labels_to_send(events), decided=True)
            self._sent(events)
        else:
            self._faults.hold_unsent(events)
        self._follow_live_day(events.day)

    def _follow_live_day(self, day: date) -> None:
        if self._plan.live_rate_per_second is None:
            self._until(f"the archive to report {day}", lambda: self._has_archived(day))
            self._until(f"the monitor to report {day}", lambda: (self._monitored or date.min) >= day)
            return
        self._read_waiting()
        self._until(
            f"the archive, which is more than {MAX_DAYS_AHEAD} days behind {day}",
            lambda: (day - (self._archived or self._plan.world.first_day)).days <= MAX_DAYS_AHEAD,
        )

    def _fixed_rate(self) -> None:
        """Send in an open loop: at the due time, whatever the load of the system."""
        rate, seconds = self._plan.rate_per_second, self._plan.rate_seconds
        due = round(rate * seconds)
        days = [self._approved_day()]
        while sum(len(events.transactions) for events in days) < due:
            days.append(self._approved_day())
        transactions = [transaction for events in days for transaction in events.transactions][:due]
        if not transactions:
            return
        self._sender.announce(RateStarted(day=days[0].day, rate_per_second=rate, seconds=seconds))
        for part in self._evenly(transactions, rate):
            self._sender.send(part)
        self._sender.announce(
            RateEnded(day=days[0].day, transactions=len(transactions), transaction_ends=self._sender.ends())
        )

    def _evenly(
        self, transactions: Sequence[Transaction], rate: float, ratio: Callable[[], float] = lambda: 1.0
    ) -> Iterator[Sequence[Transaction]]:
        """Yield the transactions that are due, each tick; after a delay all that became due during it.

        The rate is multiplied by the present `ratio`.
        """
        transactions = self._sender.unsent(transactions)
        sent, due, before = 0, 1.0, time.monotonic()
        while sent < len(transactions):
            self._retry.wait(TICK_SECONDS)
            now = time.monotonic()
            due, before = due + (now - before) * rate * ratio(), now
            until = min(int(due), len(transactions))
            yield transactions[sent:until]
            sent = until

    def _sent(self, events: EventsOfDay) -> None:
        self._metrics.set_day(events.day)
        log.info("%s: %d transactions and %d labels", events.day, len(events.transactions), len(events.labels))

    def _has_archived(self, day: date) -> bool:
        return self._archived is not None and self._archived >= day

    def _is_long_after_promotion(self) -> bool:
        after = self._plan.days_after_promotion
        if after is None or self._promoted is None or self._today is None:
            return False
        return (self._today - self._promoted).days >= after

    def _until(self, what: str, reached: Callable[[], bool], read: Callable[[], None] | None = None) -> None:
        """Wait until `reached`; `read` reads what it depends on, by default the topic `progress`."""
        start, is_reported = time.monotonic(), False
        while not reached():
            waited = time.monotonic() - start
            if waited > self._plan.wait_timeout_seconds:
                raise CardwatchError(f"waited {self._plan.wait_timeout_seconds:g} s for {what}; see its log")
            if waited > REPORT_AFTER_SECONDS and not is_reported:
                is_reported = True
                log.info("waiting for %s", what)
                self._health.waiting(f"it needs {what}")
            self._retry.wait(0)
            (read or self._read_next)()
        if is_reported:
            log.info("no longer waiting for %s", what)
        self._health.ready()

    def _read_next(self) -> None:
        self._retry.wait(0)
        if (record := self._progress.poll(0.2)) is not None:
            self._note(record)

    def _read_waiting(self) -> None:
        """Take in the records that have arrived."""
        while (record := self._progress.poll(0.0)) is not None:
            self._note(record)

    def _note(self, record: Progress) -> None:
        self._faults.note(record)
        match record:
            case DayEmitted(inferred=False):
                self._emitted[record.day] = record
            case Bootstrapped():
                self._bootstrapped = True
            case DayArchived():
                self._archived = max(self._archived or record.day, record.day)
            case DayMonitored():
                self._monitored = max(self._monitored or record.day, record.day)
            case ModelMoved(kind="promote"):
                self._promoted = self._promoted or record.day
            case RateEnded():
                self._rate_ended = True
            case _:
                pass
