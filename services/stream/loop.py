"""The worker's life: follow the log, and start again from what is committed whenever a batch has to be thrown away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from typing import Final

from adapters.kafka.transactional_log import TransactionalLog
from adapters.runtime.health import Health
from cardwatch.errors import BrokerUnavailable, StoreUnavailable, Superseded
from services.stream.worker import StreamWorker

log = logging.getLogger(__name__)

MAX_RECORDS: Final = 2_000
POLL_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 0.5

_CAUSES: Final = {Superseded: "superseded", BrokerUnavailable: "broker", StoreUnavailable: "store"}


def run(
    worker: StreamWorker,
    bootstrap: str,
    slot: str,
    stopping: Event,
    health: Health,
    on_restart: Callable[[str], None] = lambda _cause: None,
) -> None:
    """Work until `stopping` is set. A fenced batch, a broker or a store that is away cost a new connection, no more.

    `on_restart` is told each time, with the cause in a word.
    """
    while not stopping.is_set():
        try:
            _follow(worker, bootstrap, slot, stopping, health)
        except (Superseded, BrokerUnavailable, StoreUnavailable) as error:
            log.warning("starting again from what is committed: %s", error)
            health.waiting(str(error))
            on_restart(_CAUSES[type(error)])
            stopping.wait(RETRY_SECONDS)
    log.info("ms a batch, median: %s", worker.stopwatch.report())


def _follow(worker: StreamWorker, bootstrap: str, slot: str, stopping: Event, health: Health) -> None:
    stream: TransactionalLog

    def take(partitions: list[int]) -> dict[int, int]:
        positions = worker.take(stream, partitions)
        log.info("took over %s", positions)
        health.ready()
        return positions

    stream = TransactionalLog(bootstrap, slot, on_assigned=take, on_revoked=worker.give_back)
    try:
        while not stopping.is_set():
            health.turn()
            if polled := stream.poll(POLL_SECONDS, limit=MAX_RECORDS):
                worker.step(stream, polled)
            worker.measure(stream)
    finally:
        stream.close()
        worker.give_back_all()
