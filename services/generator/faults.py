"""Faults that are switched on while the generator runs, applied to what it sends. Nothing changes while none is on.

A fault acts on live days. What happened stays true: labels are those of the transactions as they happened.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

from msgspec import structs

from adapters.runtime.clock import epoch_ms
from cardwatch.events import Label, Transaction
from cardwatch.live.faults import (
    BURST,
    BURST_RATIO,
    CLOCK_SHIFT,
    DRIFT,
    LATE_LABELS,
    NULL_COLUMN,
    POISON_RECORD,
    UNIT_CHANGE,
    WORLD_FAULTS,
    FaultStates,
)
from cardwatch.progress import DayEmitted, FaultBegan, FaultEnded, Progress
from cardwatch.simulation.faults import ClockShift, DataFault, NullColumn, UnitChange
from cardwatch.simulation.simulation import EventsOfDay, Simulation
from cardwatch.simulation.timeline import change_of_the_demo
from services.generator.sender import EventSender

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""Interval at which requests are looked for while transactions are sent."""
SHIFT_HOURS: Final = 6.0


class LiveFaults:
    """The faults that are on. `read` takes in new records of `progress`, and `note` must be given each of them.

    All methods belong to the thread of the plan.
    """

    def __init__(self, sender: EventSender, read: Callable[[], None], now_ms: Callable[[], float] = epoch_ms) -> None:
        self._sender, self._read, self._now_ms = sender, read, now_ms
        self._states = FaultStates()
        self._unread: deque[Progress] = deque()
        self._next_look = 0.0
        self._drift_days: dict[int, bool] = {}
        self._drift_since: int | None = None
        self._late_since: date | None = None
        self._held: list[Label] = []
        self._faulty: tuple[tuple[DataFault, ...], dict[str, Transaction]] = ((), {})

    def note(self, record: Progress) -> None:
        """Take in a record of the topic `progress`, in its order. Those of this generator have taken effect before."""
        if self._unread and record == self._unread[0]:
            self._unread.popleft()
        else:
            self._apply(record)

    def labels_known_after(self, emitted: dict[date, DayEmitted], newest: DayEmitted | None) -> DayEmitted | None:
        """Return the last day whose labels were all sent with it: some of later days may have been held back."""
        if self._late_since is None:
            return newest
        before = [day for day in emitted if day < self._late_since]
        return emitted[max(before)] if before else None

    def begin_day(self, simulation: Simulation, number: int, day: date, *, is_new: bool) -> Simulation:
        """Return the simulation with which day `number` goes on. `is_new`: none of its records is in the log.

        On days that were begun before an interruption the population changes as it did then.
        """
        self._faulty = ((), {})
        if is_new:
            self._read()
            now_ms = self._now_ms()
            if DRIFT in self._states.to_begin(now_ms):
                self._announce(FaultBegan(day=day, name=DRIFT))
            elif DRIFT in self._states.to_end(now_ms):
                self._announce(FaultEnded(day=day, name=DRIFT))
        change = self._drift_days.get(day.toordinal())
        if change is None or change == (self._drift_since is not None):
            return simulation
        settings = simulation.settings
        if change:
            self._drift_since = number
            timeline = settings.timeline + change_of_the_demo(number)
        else:
            begun = () if self._drift_since is None else change_of_the_demo(self._drift_since)
            timeline = tuple(
                structs.replace(event, until_day=number) if event in begun else event for event in settings.timeline
            )
            self._drift_since = None
        log.info("%s: the population %s", day, "changes" if change else "is what it was before")
        return simulation.branch(structs.replace(settings, timeline=timeline))

    def send(self, transactions: Sequence[Transaction], simulation: Simulation, day: date) -> None:
        """Send these transactions of the simulation's day as a source with the present faults sends them."""
        self.update(day)
        faults = self._data_faults((day - simulation.settings.first_day).days)
        if faults != self._faulty[0]:
            records = simulation.records_with(faults) if faults else []
            self._faulty = (faults, {record.transaction_id: record for record in records})
        faulty = self._faulty[1]
        self._sender.send([faulty.get(each.transaction_id, each) for each in transactions] if faulty else transactions)

    def rate_ratio(self) -> float:
        """Return by how much the rate is multiplied now."""
        return BURST_RATIO if self._is_on(BURST) else 1.0

    def update(self, day: date) -> None:
        """Begin and end faults within `day`, if it is time to look."""
        if (now := time.monotonic()) < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        self._read()
        now_ms = self._now_ms()
        for name in self._states.to_begin(now_ms):
            if name == DRIFT:
                continue  # with the next day
            if name == POISON_RECORD:
                self._sender.send_poison()
            self._announce(FaultBegan(day=day, name=name))
            if WORLD_FAULTS[name].seconds is None:
                self._announce(FaultEnded(day=day, name=name))
        for name in self._states.to_end(now_ms):
            if name == DRIFT:
                continue
            if name == LATE_LABELS:
                self._release()
            self._announce(FaultEnded(day=day, name=name))
        if self._held and not self._is_on(LATE_LABELS):  # held back before an interruption
            self._release()

    def hold_unsent(self, events: EventsOfDay) -> None:
        """Hold labels of a day that was sent before an interruption, as far as they are not in the log."""
        if self._late_since is not None and events.day >= self._late_since:
            self._held += self._sender.unsent_labels(events.labels)

    def labels_to_send(self, events: EventsOfDay) -> EventsOfDay:
        """Return the day with the labels that are sent with it: none while labels are late."""
        if not self._is_on(LATE_LABELS):
            return events
        self._held += self._sender.unsent_labels(events.labels)
        return structs.replace(events, labels=[])

    def _release(self) -> None:
        log.info("%d labels that were held back are sent", len(self._held))
        self._sender.send_labels(self._held)
        self._held = []

    def _apply(self, record: Progress) -> None:
        self._states.apply(record, self._now_ms())
        match record:
            case FaultBegan(name=name, day=day) if name == LATE_LABELS:
                self._late_since = min(self._late_since or day, day)
            case FaultBegan(name=name, day=day) | FaultEnded(name=name, day=day) if name == DRIFT:
                self._drift_days[day.toordinal()] = isinstance(record, FaultBegan)
            case _:
                pass

    def _is_on(self, name: str) -> bool:
        return self._states[name].on_since_ms is not None

    def _announce(self, record: FaultBegan | FaultEnded) -> None:
        self._sender.announce(record)
        self._apply(record)
        self._unread.append(record)
        log.info("fault %s %s", record.name, "begins" if isinstance(record, FaultBegan) else "ends")

    def _data_faults(self, number: int) -> tuple[DataFault, ...]:
        faults: dict[str, Callable[[], DataFault]] = {
            NULL_COLUMN: lambda: NullColumn(name=NULL_COLUMN, from_day=number, is_harmful=True, column="place"),
            UNIT_CHANGE: lambda: UnitChange(name=UNIT_CHANGE, from_day=number, is_harmful=True, ratio=0.01),
            CLOCK_SHIFT: lambda: ClockShift(name=CLOCK_SHIFT, from_day=number, is_harmful=True, hours=SHIFT_HOURS),
        }
        return tuple(make() for name, make in faults.items() if self._is_on(name))
