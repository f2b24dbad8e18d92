"""When an event day is over, for sources that do not say so with `DayEmitted`.

1. A source that announces its days (`DayEmitted`, the simulation) is believed to the letter: on a log that has one such
   record nothing here closes a day.
2. Else, while sources send heartbeats, a day is over when each of them has said that it has sent everything before the
   day's end, and everything up to the positions in those heartbeats has been read. The slowest source counts, and its
   newest heartbeat, so that one with a wrong time is put right by the next. The `last` one of a source takes it out; it
   no longer holds anybody up, and what it promised stays true.
3. Else a day is over when every partition has passed its end by `ALLOWED_LATENESS_MS`. A partition's time is the
   median event time of its `NEWEST_RECORDS` newest records: up to 15 wrong ones among any 31 in a row, in far future or
   past, leave it among the times of the right ones, and no partition moves another. A partition with fewer records has
   no time: until heartbeats come, no day is closed.

So a clock that is wrong in most of the records of every partition, or a heartbeat that is not true, closes days too
early. Nothing is lost by that: a transaction that comes after its day was closed is archived under its day, and counts
in the next table. Only days that hold transactions are closed, and the quiet ones between two of them while their
windows hold anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final

from cardwatch.events import EPOCH, to_epoch_ms, utc_day
from cardwatch.features.reference_table import DAY_MS, WINDOW_DAYS
from cardwatch.progress import Heartbeat

ALLOWED_LATENESS_MS: Final = 3_600_000
"""What queues and retries of payment systems usually take; an hour without the new table costs the features little."""
NEWEST_RECORDS: Final = 31


class Watermarks:
    """The event times of some partitions and sources, and what they say of days. Holds no clock and does no I/O."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self._newest: dict[int, deque[datetime]] = {p: deque(maxlen=NEWEST_RECORDS) for p in partitions}
        self._days: set[date] = set()
        self._pending: dict[str, deque[Heartbeat]] = {}
        self._believed: dict[str, Heartbeat] = {}

    def saw(self, partition: int, occurred_at: datetime) -> None:
        """Take in the next transaction of a partition, in log order."""
        self._newest[partition].append(occurred_at)
        self._days.add(utc_day(occurred_at))

    def held(self, days: Iterable[date]) -> None:
        """Take in days whose transactions were read earlier."""
        self._days.update(days)

    def beat(self, heartbeat: Heartbeat) -> None:
        """Take in a heartbeat. It is believed once all that it promises has been read."""
        self._pending.setdefault(heartbeat.source, deque()).append(heartbeat)

    @property
    def partitions(self) -> list[int]:
        """The partitions that have to pass."""
        return list(self._newest)

    def over(self, after: date | None, reached: Callable[[int], int]) -> list[date]:
        """The days later than `after` (None: from the first) that are over, in order.

        `reached` gives the offset up to which the transactions of a partition have been read.
        """
        self._believe(reached)
        time_ms = self._time_ms()
        if time_ms is None:
            return []
        ends = EPOCH.toordinal() + time_ms // DAY_MS
        return [day for day in self._worth_closing() if day.toordinal() < ends and (after is None or day > after)]

    def open_days(self, after: date | None) -> int:
        """How many days later than `after` hold transactions."""
        return sum(after is None or day > after for day in self._days)

    def waits_for(self) -> str:
        """What keeps the next day open, for a human."""
        silent = [source for source in self._pending if source not in self._believed]
        if silent:
            return f"not everything is read that the sources {silent} promise"
        if live := self._live():
            slowest = min(live, key=lambda beat: beat.at)
            return f"the source {slowest.source!r} has sent everything before {slowest.at} only"
        short = [partition for partition, newest in self._newest.items() if not _has_time(newest)]
        if short:
            return f"partitions {short} have fewer than {NEWEST_RECORDS} transactions, and no source sends heartbeats"
        times = {partition: _median(newest) for partition, newest in self._newest.items()}
        slowest_partition = min(times, key=times.__getitem__)
        return f"partition {slowest_partition} is at {times[slowest_partition]}, and no source sends heartbeats"

    def _believe(self, reached: Callable[[int], int]) -> None:
        for source, beats in self._pending.items():
            while beats and all(reached(int(partition)) >= end for partition, end in beats[0].transaction_ends.items()):
                self._believed[source] = beats.popleft()

    def _live(self) -> list[Heartbeat]:
        return [beat for beat in self._believed.values() if not beat.last]

    def _time_ms(self) -> int | None:
        """Everything that occurred before has been read, as far as anybody can tell; None: nobody can."""
        if any(source not in self._believed for source in self._pending):
            return None
        if live := self._live():
            return min(to_epoch_ms(beat.at) for beat in live)
        promised = [to_epoch_ms(beat.at) for beat in self._believed.values()]
        times: list[int] = []
        for newest in self._newest.values():
            known = [*promised, to_epoch_ms(_median(newest)) - ALLOWED_LATENESS_MS] if _has_time(newest) else promised
            if not known:
                return None
            times.append(max(known))
        return min(times)

    def _worth_closing(self) -> list[date]:
        """Days with transactions, and those between two of them whose windows are not empty."""
        days = sorted(self._days)
        if not days:
            return []
        quiet = [
            day + timedelta(days=later)
            for day, following in pairwise(days)
            for later in range(1, min((following - day).days, WINDOW_DAYS))
        ]
        return sorted([*days, *quiet])


def _has_time(newest: deque[datetime]) -> bool:
    return len(newest) == NEWEST_RECORDS


def _median(newest: deque[datetime]) -> datetime:
    return sorted(newest)[NEWEST_RECORDS // 2]
