"""Main loop of the monitor: read the topic `progress`, and work whenever its end is reached."""

from __future__ import annotations

from typing import Final, NoReturn

from adapters.kafka.progress import ProgressReader
from adapters.runtime.retry import StoppableRetry
from services.monitor.monitor import Monitor

POLL_SECONDS: Final = 0.2
"""Maximum wait for the next record. It also bounds the delay of a stop."""


def follow(monitor: Monitor, reader: ProgressReader, retry: StoppableRetry) -> NoReturn:
    """Follow the topic until `Stopped` is raised.

    No work starts before the end of the topic is reached, because a later record may show that it is done already.
    """
    _catch_up(monitor, reader, retry)
    retry.health.ready()
    while True:
        monitor.work()
        _read_next(monitor, reader, retry)
        _catch_up(monitor, reader, retry)


def _catch_up(monitor: Monitor, reader: ProgressReader, retry: StoppableRetry) -> None:
    while not retry.call(reader.caught_up, doing="reading progress"):
        _read_next(monitor, reader, retry)


def _read_next(monitor: Monitor, reader: ProgressReader, retry: StoppableRetry) -> None:
    retry.wait(0)
    record = retry.call(lambda: reader.poll(POLL_SECONDS), doing="reading progress")
    if record is not None:
        monitor.add(record)
