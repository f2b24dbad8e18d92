"""An idempotent producer."""

from __future__ import annotations

from typing import Final

from adapters.kafka.library import library_of
from adapters.kafka.topics import lost_brokers
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable
from cardwatch.partitioning import Partitioner
from cardwatch.records import Headers

DELIVERY_TIMEOUT_MS: Final = 300_000
"""Time after which a record that the broker has not accepted is given up. librdkafka's default."""
NO_TIMEOUT_MS: Final = 0
"""Keep records until the broker is back."""


class LogWriter:
    """An idempotent producer. Records of one key stay in order."""

    def __init__(
        self,
        broker: KafkaConnection,
        *,
        partitioner: Partitioner = Partitioner.MURMUR2,
        delivery_timeout_ms: int = DELIVERY_TIMEOUT_MS,
    ) -> None:
        self._broker = broker
        self._client = library_of(broker).writer(broker, partitioner, delivery_timeout_ms)

    def write(self, topic: str, key: str, value: bytes, headers: Headers = ()) -> None:
        """Queue a record. Only after `flush` it is certain to be in the log; it also tells of a refused record."""
        self._client.write(topic, key.encode(), value, headers)

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Wait until all queued records are in the log. Raises `BrokerUnavailable` if one is not."""
        remaining = self._client.flush(timeout_seconds)
        if (failure := self._client.failure) is not None:
            raise BrokerUnavailable(f"a record could not be written: {failure}{self._lost_brokers()}")
        if remaining:
            cause = self._client.cause()
            raise BrokerUnavailable(
                f"{remaining} records were not taken by the broker at {self._broker} within {timeout_seconds:g} s"
                + (f": {cause.text}" if cause else self._lost_brokers())
            )

    @property
    def delivered(self) -> int:
        """Number of records that the broker has accepted."""
        return self._client.delivered

    @property
    def has_failed(self) -> bool:
        """Whether a record was given up, so that further waiting is pointless."""
        return self._client.failure is not None

    @property
    def pending(self) -> int:
        """Number of queued records that the broker has not accepted yet."""
        return self._client.pending

    def close(self) -> None:
        """Discard pending records, so that they cannot arrive after records of a later writer."""
        self._client.close()

    def _lost_brokers(self) -> str:
        """Return which brokers are away, as the end of a message."""
        lost = lost_brokers(self._broker)
        return f". {lost}. Start them: a record must be on min.insync.replicas of them" if lost else ""
