"""The stream worker without transactions, to show what exactly-once costs: `python -m benchmarks.stream.at_least_once`.

Decisions are flushed before their offsets are committed, so a crash repeats decisions and loses none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Producer, TopicPartition

from adapters.kafka.confluent import library
from adapters.kafka.confluent.connection import client_settings
from adapters.kafka.confluent.worker import ConfluentWorker
from adapters.kafka.port import RequestFailed
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.records import Outgoing, Record
from cardwatch.topics import TRANSACTIONS
from services.stream.__main__ import main

_FLUSH_SECONDS: Final = 30.0


class AtLeastOnceWorker(ConfluentWorker):
    """A worker whose producer has no transactions. Offsets are committed at the poll after their decisions."""

    def __init__(self, broker: KafkaConnection, slot: str, **callbacks: Any) -> None:
        super().__init__(broker, slot, **callbacks)
        self._plain_producer = Producer(
            {
                **client_settings(broker),
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 0,
                "queue.buffering.max.messages": 500_000,
            }
        )
        self._written: dict[int, int] = {}

    def poll(self, timeout_seconds: float, limit: int) -> dict[int, list[Record]]:
        """Commit the offsets of what was written, and return new records."""
        if written := dict(self._written):
            self._written.clear()
            self._consumer.commit(offsets=[TopicPartition(TRANSACTIONS, *each) for each in written.items()])
        return super().poll(timeout_seconds, limit)

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Write the records and wait until the broker has them."""
        for record in outgoing:
            self._plain_producer.produce(record.topic, record.value, record.key, record.partition)
        if self._plain_producer.flush(_FLUSH_SECONDS):
            raise RequestFailed("the broker has not taken all records")
        self._written.update(positions)


if __name__ == "__main__":
    library.ConfluentWorker = AtLeastOnceWorker  # type: ignore[misc]
    main()
