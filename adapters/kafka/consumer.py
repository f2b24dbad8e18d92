"""A consumer that follows partitions from given offsets, without a group."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.kafka.errors import broker_error
from adapters.kafka.library import library_of
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.port import RequestFailed
from adapters.runtime.closeable import Closeable
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.records import Record


class LogReader(Closeable):
    """Follows partitions from given positions. It belongs to no group and commits no offsets.

    The worker's consumer, with its group and its transactions, is `adapters.kafka.transactional_log`.
    """

    def __init__(self, broker: KafkaConnection, positions: Mapping[tuple[str, int], int]) -> None:
        self._start = dict(positions)
        self._client = library_of(broker).reader(broker, positions)
        self._offsets = OffsetReader(broker)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._offsets.close()

    def poll(self, timeout_seconds: float, *, limit: int = 10_000) -> list[Record]:
        """Return at most `limit` new records, in order per partition. The timeout is that of the first record."""
        try:
            return self._client.poll(timeout_seconds, limit)
        except RequestFailed as error:
            raise broker_error(error, "reading the log") from error

    def reached(self, topic: str, partition: int) -> int:
        """Return the offset before which every committed record has been read, control records included."""
        position = self._client.position(topic, partition)
        return self._start.get((topic, partition), 0) if position is None else position

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record of the partition."""
        return self._offsets.end(topic, partition)

    def lag(self, topic: str) -> int:
        """Return the number of unread records of the topic as of the newest fetch, control records included."""
        partitions = [partition for name, partition in self._start if name == topic]
        ends = [(partition, self._client.known_end(topic, partition)) for partition in partitions]
        return sum(max(end - self.reached(topic, partition), 0) for partition, end in ends if end is not None)
