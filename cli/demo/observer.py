"""A thread that follows the demo's topics under `read_committed` and feeds a `Recorder`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from adapters.kafka.consumer import LogReader
from adapters.kafka.topics import end_offsets
from adapters.runtime.clock import epoch_ms
from adapters.runtime.retry import poll
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
    positions = _ends(settings, TRANSACTIONS, LABELS)
    positions |= {(DECISIONS, partition): 0 for topic, partition in positions if topic == TRANSACTIONS}
    return {**positions, (PROGRESS, 0): 0}


class TopicObserver:
    """Follows the topics from `start`, which is what `live_positions` gave, while its context is open.

    It belongs to no group and commits nothing.
    """

    def __init__(self, settings: Settings, recorder: Recorder, *, start: Positions) -> None:
        self._settings, self._recorder = settings, recorder
        self._reader = LogReader(settings.kafka, start)
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="observer", daemon=True)

    def __enter__(self) -> TopicObserver:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=10.0)

    def wait_until_caught_up(self, timeout_seconds: float) -> bool:
        """Wait until all that is committed now has been recorded; False if the time was too short.

        Raises what stopped the thread, if something did.
        """
        ends = _ends(self._settings, *_TOPICS)
        return poll(lambda: self._has_reached(ends), timeout_seconds=timeout_seconds, poll_seconds=0.02)

    def _has_reached(self, ends: Positions) -> bool:
        reached = all(self._reader.reached(*place) >= end for place, end in ends.items())
        if self._failure is not None and not reached:
            raise self._failure
        return reached

    def _follow(self) -> None:
        try:
            with self._reader:
                while not self._stopping.is_set():
                    if records := self._reader.poll(_POLL_SECONDS):
                        self._recorder.take(records, arrived_ms=epoch_ms())
        except Exception as error:
            self._failure = error  # for `wait_until_caught_up`, which the main thread calls


def _ends(settings: Settings, *topics: str) -> dict[tuple[str, int], int]:
    return {
        (topic, partition): end for topic in topics for partition, end in end_offsets(settings.kafka, topic).items()
    }
