"""The end of days that no source announces: noticed here, and told on the topic `progress` as a source would.

Told before it is acted upon: after a crash the archive reads its own word again, and closes the same day at the same
positions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final, Protocol

from cardwatch.progress import DayEmitted, Heartbeat, Progress
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from services.archive.watermarks import Watermarks

log = logging.getLogger(__name__)

MANY_OPEN_DAYS: Final = 3


class Log(Protocol):
    """What is asked of the log, see `adapters.kafka.consumer.LogReader`."""

    def reached(self, topic: str, partition: int) -> int:
        """The offset up to which everything committed has been read."""
        ...

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last committed record now."""
        ...


class DayInference:
    """Announces days by `Watermarks`, each once, unless a source announces days itself.

    `last_day` is the newest that was closed before. `decided_up_to` asks for the stream worker's committed offsets: on
    a log where it has any, days wait for its decisions.
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
        self._a_source_announces = False
        self._warned_of = MANY_OPEN_DAYS - 1

    def take(self, event: Progress) -> None:
        """Take in a record of the topic `progress`."""
        match event:
            case Heartbeat():
                self._watermarks.beat(event)
            case DayEmitted(inferred=inferred):
                self._a_source_announces |= not inferred
                self._last_day = max(event.day, self._last_day or event.day)
            case _:
                pass

    def announce_days(self, topic_log: Log, ends: Mapping[int, int]) -> None:
        """Announce every day that is over. `ends`: per partition, the offset after the last transaction read."""
        if self._a_source_announces:
            return
        days = self._watermarks.over(self._last_day, lambda p: max(topic_log.reached(TRANSACTIONS, p), ends.get(p, 0)))
        if not days:
            self._warn()
            return
        if topic_log.reached(PROGRESS, 0) < topic_log.end(PROGRESS, 0):
            return  # a source may have announced these days, or we before a restart
        label_ends = {str(partition): topic_log.end(LABELS, partition) for partition in ends}
        transaction_ends = {str(partition): end for partition, end in ends.items()}
        decided = bool(self._decided_up_to(list(ends)))
        for day in days:
            self._last_day = day
            self._announce(
                DayEmitted(
                    day=day,
                    transaction_ends=transaction_ends,
                    label_ends=label_ends,
                    decided=decided,
                    inferred=True,
                )
            )

    def _warn(self) -> None:
        waiting = self._watermarks.open_days(self._last_day)
        if waiting > self._warned_of:
            log.warning("%d days are open: %s", waiting, self._watermarks.waits_for())
        self._warned_of = max(waiting, MANY_OPEN_DAYS - 1)
