"""Reader and writer of the topic `progress`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import msgspec

from adapters.kafka.consumer import LogReader
from adapters.kafka.producer import LogWriter
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.logs import one_line
from cardwatch.errors import BrokerUnavailable, InvalidRecord
from cardwatch.progress import Progress, decode_progress
from cardwatch.records import Record
from cardwatch.topics import PROGRESS

log = logging.getLogger(__name__)

OnSkipped = Callable[[Record, InvalidRecord], None]


def log_skipped(record: Record, error: InvalidRecord) -> None:
    """Log a record that is passed over because it breaks the contract of its topic."""
    log.warning("%s[%d] %d is passed over: %s", record.topic, record.partition, record.offset, one_line(str(error)))


class ProgressWriter:
    """Writes progress records one at a time. Each is in the topic when `write` returns."""

    def __init__(self, broker: KafkaConnection) -> None:
        self._broker = broker
        self._writer = LogWriter(broker)

    def write(self, record: Progress) -> None:
        """Write one record and wait until it is in the topic. After an error the caller may write it again."""
        try:
            self._writer.write(PROGRESS, PROGRESS, msgspec.json.encode(record))
            self._writer.flush()
        except BrokerUnavailable:
            self._writer.close()  # otherwise the record could arrive a second time after a retry
            self._writer = LogWriter(self._broker)
            raise


def publish_progress(broker: KafkaConnection, record: Progress) -> None:
    """Write a single record to the topic `progress`."""
    ProgressWriter(broker).write(record)


class ProgressReader:
    """Follows the topic `progress` from its beginning. Invalid records are passed over and reported to `on_skipped`."""

    def __init__(self, broker: KafkaConnection, on_skipped: OnSkipped = log_skipped) -> None:
        self._reader = LogReader(broker, {(PROGRESS, 0): 0})
        self._on_skipped = on_skipped
        self._pending: deque[Progress] = deque()

    def poll(self, timeout_seconds: float) -> Progress | None:
        """Return the next record, or None if there is none before the timeout."""
        if not self._pending:
            for record in self._reader.poll(timeout_seconds):
                try:
                    self._pending.append(decode_progress(record.value))
                except InvalidRecord as error:
                    self._on_skipped(record, error)
        return self._pending.popleft() if self._pending else None

    def caught_up(self) -> bool:
        """Whether `poll` has returned every record that the topic holds now."""
        return not self._pending and self._reader.reached(PROGRESS, 0) >= self._reader.end(PROGRESS, 0)

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
