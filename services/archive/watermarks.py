"""End of event days for sources that do not announce it with `DayEmitted`.

1. If a source announces its days (`DayEmitted`, the simulation), only its announcements count: on a log with such a
   record nothing here closes a day.
2. Otherwise, while sources send heartbeats, a day is over when each of them has reported that it has sent everything
   before the day's end, and everything up to the positions in those heartbeats has been read. The slowest source
   decides. Of each source the newest heartbeat counts, so that the next one corrects a wrong time. The `last` heartbeat
   of a source removes it: it no longer delays a day, and its reported time stays valid.
3. Otherwise a day is over when the time of every partition has passed its end by `ALLOWED_LATENESS_MS`. A partition's
   time is the median event time of its `NEWEST_RECORDS` newest records: up to 15 wrong times among any 31 in a row, in
   far future or past, cannot move it beyond the correct ones, and no partition affects another. A partition with fewer
   records has no time: without heartbeats, no day is closed.

So a wrong clock in most records of every partition, or a wrong heartbeat, closes days too early. No data is lost: a
transaction that arrives after its day was closed is archived under its day, and counts in the next table. Only days
that hold transactions are closed, and the empty days between two of them while their windows hold any transaction.
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
"""Usual delay of queues and retries in payment systems. An hour without the new table costs the features little."""
NEWEST_RECORDS: Final = 31
"""Number of records whose median event time is the time of a partition; odd, so that the median is one of them."""


class Watermarks:
    """Event times of partitions and sources, and the days that are over by them. Uses no clock and does no I/O."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self.partitions = list(partitions)
        self._newest: dict[int, deque[datetime]] = {p: deque(maxlen=NEWEST_RECORDS) for p in self.partitions}
        self._days: set[date] = set()
        self._pending: dict[str, deque[Heartbeat]] = {}
        self._confirmed: dict[str, Heartbeat] = {}

    def add_transaction(self, partition: int, occurred_at: datetime) -> None:
        """Add the next transaction of a partition, in log order."""
        self._newest[partition].append(occurred_at)
        self._days.add(utc_day(occurred_at))

    def add_days(self, days: Iterable[date]) -> None:
        """Add days whose transactions were read before."""
        self._days.update(days)

    def add_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Add a heartbeat. It is confirmed once everything up to its positions has been read.

        Positions of a source only grow: earlier heartbeats with greater ones are wrong, and are discarded.
        """
        beats = self._pending.setdefault(heartbeat.source, deque())
        ends = heartbeat.transaction_ends
        while beats and any(end > ends.get(partition, end) for partition, end in beats[-1].transaction_ends.items()):
            beats.pop()
        beats.append(heartbeat)

    def ended_days(self, after: date | None, reached: Callable[[int], int]) -> list[date]:
        """Return the days later than `after` (None: from the first) that are over, in order.

        `reached` returns the offset up to which the transactions of a partition have been read.
        """
        self._confirm(reached)
        time_ms = self._time_ms()
        if time_ms is None:
            return []
        ends = EPOCH.toordinal() + time_ms // DAY_MS
        return [day for day in self._worth_closing() if day.toordinal() < ends and (after is None or day > after)]

    def open_days(self, after: date | None) -> int:
        """Return the number of days later than `after` that hold transactions."""
        return sum(after is None or day > after for day in self._days)

    def blocking_reason(self) -> str:
        """Return a sentence that says why the next day is still open."""
        silent = [source for source in self._pending if source not in self._confirmed]
        if silent:
            return f"not everything is read up to the first heartbeats of the sources {silent}"
        if live := self._live():
            slowest = min(live, key=lambda beat: beat.at)
            return f"the source {slowest.source!r} has sent only everything before {slowest.at}"
        short = [partition for partition, newest in self._newest.items() if not _has_time(newest)]
        if short:
            return f"partitions {short} have fewer than {NEWEST_RECORDS} transactions, and no source sends heartbeats"
        times = {partition: _median(newest) for partition, newest in self._newest.items()}
        slowest_partition = min(times, key=times.__getitem__)
        return f"partition {slowest_partition} is at {times[slowest_partition]}, and no source sends heartbeats"

    def _confirm(self, reached: Callable[[int], int]) -> None:
        for source, beats in self._pending.items():
            while beats and all(reached(int(partition)) >= end for partition, end in beats[0].transaction_ends.items()):
                self._confirmed[source] = beats.popleft()

    def _live(self) -> list[Heartbeat]:
        return [beat for beat in self._confirmed.values() if not beat.last]

    def _time_ms(self) -> int | None:
        """Return the time before which everything has been read, None if it is unknown."""
        if any(source not in self._confirmed for source in self._pending):
            return None
        if live := self._live():
            return min(to_epoch_ms(beat.at) for beat in live)
        reported = [to_epoch_ms(beat.at) for beat in self._confirmed.values()]
        times: list[int] = []
        for newest in self._newest.values():
            known = [*reported, to_epoch_ms(_median(newest)) - ALLOWED_LATENESS_MS] if _has_time(newest) else reported
            if not known:
                return None
            times.append(max(known))
        return min(times)

    def _worth_closing(self) -> list[date]:
        """Return the days with transactions, and those between two of them whose windows are not empty."""
        days = sorted(self._days)
        if not days:
            return []
        empty = [
            day + timedelta(days=later)
            for day, following in pairwise(days)
            for later in range(1, min((following - day).days, WINDOW_DAYS))
        ]
        return sorted([*days, *empty])


def _has_time(newest: deque[datetime]) -> bool:
    return len(newest) == NEWEST_RECORDS


def _median(newest: deque[datetime]) -> datetime:
    return sorted(newest)[NEWEST_RECORDS // 2]
