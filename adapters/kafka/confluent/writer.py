"""An idempotent producer, with confluent-kafka."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from adapters.kafka.confluent.connection import ErrorLog, client_settings
from adapters.kafka.diagnosis import Cause
from adapters.kafka.limits import MAX_QUEUED_RECORDS
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.partitioning import Partitioner
from cardwatch.records import Headers

_PARTITIONERS: Final = {
    Partitioner.MURMUR2: "murmur2_random",
    Partitioner.CRC32: "consistent_random",
    Partitioner.FNV1A: "fnv1a_random",
    Partitioner.UNCHECKED: "murmur2_random",
}
"""librdkafka's names."""


class ConfluentWriter:
    """An idempotent producer."""

    def __init__(self, broker: KafkaConnection, partitioner: Partitioner, delivery_timeout_ms: int) -> None:
        self._broker, self._errors = broker, ErrorLog()
        self._producer = Producer(
            {
                **client_settings(broker),
                "enable.idempotence": True,
                "message.timeout.ms": delivery_timeout_ms,
                "partitioner": _PARTITIONERS[partitioner],
                "linger.ms": 2,
                "compression.type": "lz4",
                "queue.buffering.max.messages": MAX_QUEUED_RECORDS,
                "log_level": 0,
                "error_cb": self._errors,
            }
        )
        self._failure: KafkaError | None = None
        self._pending = self._delivered = 0

    @property
    def pending(self) -> int:
        """Number of queued records. The library's own number counts its unserved events, too."""
        return self._pending

    @property
    def delivered(self) -> int:
        """Number of accepted records."""
        return self._delivered

    @property
    def failure(self) -> str | None:
        """Why a record was given up."""
        return None if self._failure is None else self._failure.str()

    def write(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Queue a record."""
        more = {"headers": headers} if headers else {}
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=self._on_delivery, **more)
                self._pending += 1
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:  # the record is too large
                self._failure = self._failure or error.args[0]
                return

    def flush(self, timeout_seconds: float) -> int:
        """Wait until no record is pending, and return how many are."""
        self._producer.flush(timeout_seconds)
        return self._pending

    def cause(self) -> Cause | None:
        """Return why the broker does not take records."""
        return self._errors.cause(self._broker)

    def close(self) -> None:
        """Discard pending records."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        self._failure = self._failure or error
        self._pending -= 1
        self._delivered += error is None
