"""A thread that follows the demo's topics under `read_committed` and feeds a `Recorder`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from adapters.kafka.consumer import LogReader
from adapters.kafka.topics import end_offsets
from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import Settings
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from cli.demo.recorder import Recorder

Positions = Mapping[tuple[str, int], int]
"""Topic and partition to offset."""

_TOPICS: Final = (TRANSACTIONS, DECISIONS, LABELS, PROGRESS)
_POLL_SECONDS: Final = 0.1


def live_positions(settings: Settings) -> dict[tuple[str, int], int]:
    """Return the positions from which a demo is observed: the current ends of transactions and labels.

    Call it after history is written and before the first live day. Decisions and progress start at their
    beginning.
    """
    positions = {
        (topic, partition): end
        for topic in (TRANSACTIONS, LABELS)
        for partition, end in end_offsets(settings.kafka_bootstrap, topic).items()
    }
    positions |= {(DECISIONS, partition): 0 for topic, partition in positions if topic == TRANSACTIONS}
    return {**positions, (PROGRESS, 0): 0}


class TopicObserver:
    """Follows the topics while its context is open. It belongs to no group and commits nothing.

    `start` is what `live_positions` gave; `now_ms` is the clock of Kafka's time stamps.
    """

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        *,
        start: Positions,
        now_ms: Callable[[], float] = epoch_ms,
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._start = start
        self._now_ms = now_ms
        self._reader: LogReader | None = None
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> TopicObserver:
        self._reader = LogReader(self._settings.kafka_bootstrap, self._start)
        self._thread = threading.Thread(target=self._follow, args=(self._reader,), name="observer", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)

    def check(self) -> None:
        """Raise what stopped the thread, if something did."""
        if self._failure is not None:
            raise self._failure

    def wait_until_caught_up(self, timeout_seconds: float) -> bool:
        """Wait until all that is committed now has been recorded; False if the time was too short."""
        deadline = time.monotonic() + timeout_seconds
        ends = {
            (topic, partition): end
            for topic in _TOPICS
            for partition, end in end_offsets(self._settings.kafka_bootstrap, topic).items()
        }
        while not self._has_reached(ends):
            self.check()
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def _has_reached(self, ends: Positions) -> bool:
        reader = self._reader
        return reader is not None and all(reader.reached(*place) >= end for place, end in ends.items())

    def _follow(self, reader: LogReader) -> None:
        try:
            with reader:
                while not self._stopping.is_set():
                    if records := reader.poll(_POLL_SECONDS):
                        self._recorder.take(records, arrived_ms=self._now_ms())
        except Exception as error:
            self._failure = error  # for `check`, which the main thread calls
