"""A consumer that follows partitions from given offsets, without a group."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from adapters.kafka.connection import broker_error, consumer_settings, is_transient, to_record
from adapters.kafka.offsets import OffsetReader
from adapters.runtime.closeable import Closeable
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.records import Record


class LogReader(Closeable):
    """Follows partitions from given positions. It belongs to no group and commits no offsets.

    The worker's consumer, with its group and its transactions, is `adapters.kafka.transactional_log`.
    """

    def __init__(self, broker: KafkaConnection, positions: Mapping[tuple[str, int], int]) -> None:
        self._consumer = Consumer({**consumer_settings(broker, "cardwatch-reader"), "enable.partition.eof": True})
        self._offsets = OffsetReader(broker)
        self._positions = dict(positions)
        self._consumer.assign([TopicPartition(t, p, o or OFFSET_BEGINNING) for (t, p), o in positions.items()])

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._offsets.close()

    def poll(self, timeout_seconds: float, *, limit: int = 10_000) -> list[Record]:
        """Return at most `limit` new records, in order per partition. The timeout is that of the first record."""
        first = self._consumer.poll(timeout_seconds)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(limit - 1, timeout=0)]
        return [record for message in messages if (record := self._take(message)) is not None]

    def reached(self, topic: str, partition: int) -> int:
        """Return the offset before which every committed record has been read, control records included."""
        return self._positions.get((topic, partition), 0)

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record of the partition."""
        return self._offsets.end(topic, partition)

    def lag(self, topic: str) -> int:
        """Return the number of unread records of the topic as of the newest fetch, control records included."""
        assigned = [each for each in self._consumer.assignment() if each.topic == topic]
        ends = [(each.partition, self._consumer.get_watermark_offsets(each, cached=True)[1]) for each in assigned]
        return sum(max(end - self.reached(topic, partition), 0) for partition, end in ends if end >= 0)

    def _take(self, message: Message) -> Record | None:
        key = (message.topic(), message.partition())
        error = message.error()
        if error is None:
            self._positions[key] = message.offset() + 1
            return to_record(message)
        if error.code() == KafkaError._PARTITION_EOF:
            self._positions[key] = max(self._positions.get(key, 0), message.offset())
            return None
        if is_transient(error):
            return None
        raise broker_error(KafkaException(error), "reading the log")
