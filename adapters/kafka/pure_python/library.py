"""kafka-python as a client of the broker: in Python."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.kafka.port import OnAssigned, OnRevoked
from adapters.kafka.pure_python.administration import PurePythonAdministration, PurePythonOffsets
from adapters.kafka.pure_python.reader import PurePythonReader
from adapters.kafka.pure_python.worker import PurePythonWorker
from adapters.kafka.pure_python.writer import PurePythonWriter
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.partitioning import Partitioner


class PurePythonLibrary:
    """Opens the connections of kafka-python."""

    def reader(self, broker: KafkaConnection, positions: Mapping[tuple[str, int], int]) -> PurePythonReader:
        """Return a reader of partitions from given positions."""
        return PurePythonReader(broker, positions)

    def writer(self, broker: KafkaConnection, partitioner: Partitioner, delivery_timeout_ms: int) -> PurePythonWriter:
        """Return a producer."""
        return PurePythonWriter(broker, partitioner, delivery_timeout_ms)

    def offsets(self, broker: KafkaConnection, group: str) -> PurePythonOffsets:
        """Return a reader of offsets."""
        return PurePythonOffsets(broker, group)

    def worker(
        self, broker: KafkaConnection, slot: str, *, on_assigned: OnAssigned, on_revoked: OnRevoked
    ) -> PurePythonWorker:
        """Return the stream worker's consumer and producer."""
        return PurePythonWorker(broker, slot, on_assigned=on_assigned, on_revoked=on_revoked)

    def administration(self, broker: KafkaConnection) -> PurePythonAdministration:
        """Return an administrator."""
        return PurePythonAdministration(broker)
