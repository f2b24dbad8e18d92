"""An idempotent producer, with kafka-python."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from adapters.kafka.diagnosis import Cause
from adapters.kafka.limits import MAX_QUEUED_RECORDS, MAX_RECORD_BYTES
from adapters.kafka.pure_python.connection import OLDEST_BROKER, Connections, client_settings
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.partitioning import Partitioner, Partitioning
from cardwatch.records import Headers

BATCH_BYTES: Final = 500_000
"""Size at which a batch is sent, before compression: half of what a topic must accept."""
_FOREVER_MS: Final = 2**31 - 1
"""25 days."""
_METADATA_SECONDS: Final = 1.0
"""Time for which a write waits for the number of partitions, and until it is asked for again."""

PRODUCER: Final[Mapping[str, Any]] = {
    "api_version": OLDEST_BROKER,
    "compression_type": "lz4",
    "batch_size": BATCH_BYTES,
    "max_request_size": 4 * BATCH_BYTES,  # batches of several partitions in one request
    "metrics_enabled": False,
    "allow_auto_create_topics": False,
}
"""Settings of all producers."""


class PurePythonWriter:
    """An idempotent producer. Records wait here until the partitions of their topic are known.

    The library's own queue has no limit, and computes the hash of a key for each record; ours keeps hashes.
    """

    def __init__(self, broker: KafkaConnection, partitioner: Partitioner, delivery_timeout_ms: int) -> None:
        self._connections = Connections(broker)
        self._producer = KafkaProducer(
            **client_settings(broker, self._connections),
            **PRODUCER,
            linger_ms=2,
            max_block_ms=int(1_000 * _METADATA_SECONDS),
            delivery_timeout_ms=max(delivery_timeout_ms or _FOREVER_MS, 2 * 10_000),
        )
        self._partitioner = Partitioner.MURMUR2 if partitioner is Partitioner.UNCHECKED else partitioner
        self._partitionings: dict[str, Partitioning] = {}
        self._asked_at = -_METADATA_SECONDS
        self._waiting: deque[tuple[str, bytes, bytes, Headers]] = deque()
        self._written = self._delivered = self._given_up = 0
        self._failure: str | None = None

    @property
    def pending(self) -> int:
        """Number of queued records."""
        return self._written - self._delivered - self._given_up

    @property
    def delivered(self) -> int:
        """Number of accepted records."""
        return self._delivered

    @property
    def failure(self) -> str | None:
        """Why a record was given up."""
        return self._failure

    def write(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Queue a record."""
        self._written += 1
        self._waiting.append((topic, key, value, headers))
        self._send_waiting()
        while self.pending > MAX_QUEUED_RECORDS:
            self.flush(0.1)

    def flush(self, timeout_seconds: float) -> int:
        """Wait until no record is pending, and return how many are."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._send_waiting()
            remaining = max(deadline - time.monotonic(), 0.0)
            try:
                self._producer.flush(remaining)
            except KafkaTimeoutError:
                return self.pending
            if not self._waiting or not remaining:
                return self.pending

    def cause(self) -> Cause | None:
        """Return why the broker does not take records."""
        return self._connections.cause

    def close(self) -> None:
        """Discard pending records."""
        self._waiting.clear()
        discard(self._producer)

    def _send_waiting(self) -> None:
        while self._waiting:
            topic, key, value, headers = self._waiting[0]
            if (partitioning := self._partitionings.get(topic) or self._ask_partitions(topic)) is None:
                return
            self._waiting.popleft()
            try:
                if len(key) + len(value) > MAX_RECORD_BYTES:
                    raise MessageSizeTooLargeError(f"a record of {len(value):,} bytes for {topic}")
                future = self._producer.send(
                    topic, value, key, headers=list(headers), partition=partitioning.partition_of(key)
                )
            except KafkaError as error:  # the record is too large, or the producer has failed
                self._fail(error)
            else:
                future.add_callback(self._succeed)
                future.add_errback(self._fail)

    def _ask_partitions(self, topic: str) -> Partitioning | None:
        if time.monotonic() < self._asked_at + _METADATA_SECONDS:
            return None
        try:
            found = self._producer.partitions_for(topic)
        except KafkaError:
            self._asked_at = time.monotonic()
            return None
        self._partitionings[topic] = Partitioning(self._partitioner, len(found))
        return self._partitionings[topic]

    def _succeed(self, _metadata: object) -> None:
        self._delivered += 1

    def _fail(self, error: BaseException) -> None:
        self._given_up += 1
        self._failure = self._failure or str(error)


def discard(producer: KafkaProducer) -> None:
    """Close a producer without sending what it holds; `KafkaProducer.close` sends it."""
    producer._sender.force_close()
    producer._sender.join(1.0)
    producer.close(timeout=1.0)
