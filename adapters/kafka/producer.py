"""An idempotent producer."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from adapters.kafka.diagnosis import ErrorLog
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable
from cardwatch.partitioning import Partitioner

DELIVERY_TIMEOUT_MS: Final = 300_000
"""Time after which a record that the broker has not accepted is given up. librdkafka's default."""
NO_TIMEOUT_MS: Final = 0
"""Keep records until the broker is back."""

_PARTITIONERS: Final = {
    Partitioner.MURMUR2: "murmur2_random",
    Partitioner.CRC32: "consistent_random",
    Partitioner.FNV1A: "fnv1a_random",
    Partitioner.UNCHECKED: "murmur2_random",
}
"""librdkafka's names."""


class LogWriter:
    """An idempotent producer. Records of one key stay in order."""

    def __init__(
        self,
        broker: KafkaConnection,
        *,
        partitioner: Partitioner = Partitioner.MURMUR2,
        delivery_timeout_ms: int = DELIVERY_TIMEOUT_MS,
    ) -> None:
        self._broker, self._errors = broker, ErrorLog()
        self._producer = Producer(
            {
                **broker.client_settings(),
                "enable.idempotence": True,
                "message.timeout.ms": delivery_timeout_ms,
                "partitioner": _PARTITIONERS[partitioner],
                "linger.ms": 2,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 500_000,
                "log_level": 0,
                "error_cb": self._errors,
            }
        )
        self._failure: KafkaError | None = None
        self.delivered = 0
        """Number of records that the broker has accepted."""

    def write(self, topic: str, key: str, value: bytes) -> None:
        """Queue a record. Only after `flush` it is certain to be in the log."""
        while True:
            try:
                self._producer.produce(topic, value, key.encode(), on_delivery=self._on_delivery)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait until all queued records are in the log. Raises `BrokerUnavailable` if one is not."""
        remaining = self._producer.flush(timeout_seconds)
        if self._failure is not None:
            raise BrokerUnavailable(f"a record could not be written: {self._failure.str()}")
        if remaining:
            cause = self._errors.cause(self._broker)
            raise BrokerUnavailable(
                f"{remaining} records were not taken by the broker at {self._broker} within {timeout_seconds:g} s"
                + (f": {cause.text}" if cause else "")
            )

    @property
    def has_failed(self) -> bool:
        """Whether a record was given up, so that further waiting is pointless."""
        return self._failure is not None

    @property
    def pending(self) -> int:
        """Number of queued records that the broker has not accepted yet."""
        return len(self._producer)

    def close(self) -> None:
        """Discard pending records, so that they cannot arrive after records of a later writer."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        self._failure = self._failure or error
        self.delivered += error is None
