"""confluent-kafka as a client of the broker: librdkafka, in C."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.kafka.confluent.administration import ConfluentAdministration
from adapters.kafka.confluent.reader import ConfluentOffsets, ConfluentReader
from adapters.kafka.confluent.worker import ConfluentWorker
from adapters.kafka.confluent.writer import ConfluentWriter
from adapters.kafka.port import OnAssigned, OnRevoked
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.partitioning import Partitioner


class ConfluentLibrary:
    """Opens the connections of confluent-kafka."""

    def reader(self, broker: KafkaConnection, positions: Mapping[tuple[str, int], int]) -> ConfluentReader:
        """Return a reader of partitions from given positions."""
        return ConfluentReader(broker, positions)

    def writer(self, broker: KafkaConnection, partitioner: Partitioner, delivery_timeout_ms: int) -> ConfluentWriter:
        """Return a producer."""
        return ConfluentWriter(broker, partitioner, delivery_timeout_ms)

    def offsets(self, broker: KafkaConnection, group: str) -> ConfluentOffsets:
        """Return a reader of offsets."""
        return ConfluentOffsets(broker, group)

    def worker(
        self, broker: KafkaConnection, slot: str, *, on_assigned: OnAssigned, on_revoked: OnRevoked
    ) -> ConfluentWorker:
        """Return the stream worker's consumer and producer."""
        return ConfluentWorker(broker, slot, on_assigned=on_assigned, on_revoked=on_revoked)

    def administration(self, broker: KafkaConnection) -> ConfluentAdministration:
        """Return an administrator."""
        return ConfluentAdministration(broker)
