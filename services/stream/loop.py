"""The main loop: process batches, and start again from the committed offsets after a failure that may pass."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from typing import Final

from adapters.kafka.transactional_log import TransactionalLog
from adapters.runtime.health import Health
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable, StoreUnavailable, Superseded
from services.stream.worker import StreamWorker

log = logging.getLogger(__name__)

MAX_RECORDS: Final = 2_000
"""Maximum number of records of a batch."""
POLL_SECONDS: Final = 0.2
"""Maximum time to wait for the first record of a batch. It bounds how long a shutdown takes."""
RETRY_SECONDS: Final = 0.5
"""Time between a failure and the next connection."""

_CAUSES: Final = {Superseded: "superseded", BrokerUnavailable: "broker", StoreUnavailable: "store"}


def run(
    worker: StreamWorker,
    broker: KafkaConnection,
    slot: str,
    stopping: Event,
    health: Health,
    on_restart: Callable[[str], None] = lambda _cause: None,
) -> None:
    """Process batches until `stopping` is set.

    After a fenced batch, or if broker or store do not answer, reconnect and start again from the committed offsets.
    `on_restart` is called each time with the cause: `superseded`, `broker` or `store`.
    """
    while not stopping.is_set():
        try:
            _process_batches(worker, broker, slot, stopping, health)
        except (Superseded, BrokerUnavailable, StoreUnavailable) as error:
            log.warning("starting again from the committed offsets: %s", error)
            health.waiting(str(error))
            on_restart(_CAUSES[type(error)])
            stopping.wait(RETRY_SECONDS)
    log.info("ms a batch, median: %s", worker.timer.report())


def _process_batches(worker: StreamWorker, broker: KafkaConnection, slot: str, stopping: Event, health: Health) -> None:
    stream: TransactionalLog

    def assign(partitions: list[int]) -> dict[int, int]:
        positions = worker.assign_partitions(stream, partitions)
        log.info("partitions assigned, with the positions to read from: %s", positions)
        health.ready()
        return positions

    stream = TransactionalLog(broker, slot, on_assigned=assign, on_revoked=worker.revoke_partitions)
    try:
        while not stopping.is_set():
            health.turn()
            worker.process_batch(stream, stream.poll(POLL_SECONDS, limit=MAX_RECORDS))
            worker.update_gauges(stream)
        worker.settle()
    finally:
        worker.revoke_all_partitions()
        stream.close()
