"""Inference of the end of days that no source announces. The announcement is the one that a source would make.

A day is announced before it is closed: after a crash the archive reads its own announcement, and closes the same day at
the same positions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final

from adapters.kafka.consumer import LogReader
from cardwatch.progress import DayEmitted, Heartbeat, Progress
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from services.archive.watermarks import Watermarks

log = logging.getLogger(__name__)

MANY_OPEN_DAYS: Final = 3
"""Number of open days from which a warning explains what the next day waits for."""


class DayInference:
    """Announces ended days by `Watermarks`, each once, unless a source announces days itself.

    `last_day` is the newest closed day. `decided_up_to` returns the committed offsets of the stream worker: on a log
    where it has any, days wait for its decisions.
    """

    def __init__(
        self,
        watermarks: Watermarks,
        last_day: date | None,
        *,
        decided_up_to: Callable[[Sequence[int]], Mapping[int, int]],
        announce: Callable[[DayEmitted], None],
    ) -> None:
        self._watermarks, self._last_day = watermarks, last_day
        self._decided_up_to, self._announce = decided_up_to, announce
        self._source_announces = False
        self._reported_open_days = MANY_OPEN_DAYS - 1

    def add(self, event: Progress) -> None:
        """Add a progress record."""
        match event:
            case Heartbeat():
                self._watermarks.add_heartbeat(event)
            case DayEmitted(inferred=inferred):
                self._source_announces |= not inferred
                self._last_day = max(event.day, self._last_day or event.day)
            case _:
                pass

    def announce_days(self, reader: LogReader, ends: Mapping[int, int]) -> None:
        """Announce every ended day. `ends`: per partition, the offset after the last transaction read."""
        if self._source_announces:
            return
        days = self._watermarks.ended_days(
            self._last_day, lambda p: max(reader.reached(TRANSACTIONS, p), ends.get(p, 0))
        )
        if not days:
            self._warn()
            return
        if reader.reached(PROGRESS, 0) < reader.end(PROGRESS, 0):
            return  # an unread record may announce these days
        label_ends = {str(partition): reader.end(LABELS, partition) for partition in ends}
        transaction_ends = {str(partition): end for partition, end in ends.items()}
        decided = bool(self._decided_up_to(list(ends)))
        for day in days:
            self._last_day = day
            self._announce(
                DayEmitted(
                    day=day, transaction_ends=transaction_ends, label_ends=label_ends, decided=decided, inferred=True
                )
            )

    def _warn(self) -> None:
        open_days = self._watermarks.open_days(self._last_day)
        if open_days > self._reported_open_days:
            log.warning("%d days are open: %s", open_days, self._watermarks.blocking_reason())
        self._reported_open_days = max(open_days, MANY_OPEN_DAYS - 1)
