"""The monitor's life: follow the topic `progress`, and work whenever all of it has been read."""

from __future__ import annotations

from typing import Final, Protocol

from cardwatch.progress import Progress
from services.monitor.monitor import Monitor
from services.monitor.retry import Patience, Stopped

POLL_SECONDS: Final = 0.2


class Reader(Protocol):
    """What is needed of `adapters.kafka.client.ProgressReader`."""

    def poll(self, timeout_seconds: float) -> Progress | None:
        """The next record, or None."""
        ...

    def caught_up(self) -> bool:
        """Whether there is nothing left to read."""
        ...


def follow(monitor: Monitor, reader: Reader, patience: Patience) -> None:
    """Follow the topic until the process is asked to stop.

    Nothing is done before it has been read up to its end: a later record may say that it has been done.
    """
    try:
        _catch_up(monitor, reader, patience)
        patience.health.ready()
        while True:
            monitor.work()
            _take_next(monitor, reader, patience)
            _catch_up(monitor, reader, patience)
    except Stopped:
        return


def _catch_up(monitor: Monitor, reader: Reader, patience: Patience) -> None:
    while not patience.insist("following the topic", reader.caught_up):
        _take_next(monitor, reader, patience)


def _take_next(monitor: Monitor, reader: Reader, patience: Patience) -> None:
    patience.pause(0)
    record = patience.insist("following the topic", lambda: reader.poll(POLL_SECONDS))
    if record is not None:
        monitor.take(record)
