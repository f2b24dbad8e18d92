"""Readers of the log and of offsets, with confluent-kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from adapters.kafka.confluent.connection import consumer_settings, failed, is_transient, to_record
from adapters.kafka.limits import REQUEST_SECONDS
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.records import Record


class ConfluentReader:
    """A consumer with assigned partitions. It is told the end of each, and so how far control records reach."""

    def __init__(self, broker: KafkaConnection, positions: Mapping[tuple[str, int], int]) -> None:
        self._consumer = Consumer({**consumer_settings(broker, "cardwatch-reader"), "enable.partition.eof": True})
        self._positions = dict(positions)
        self._consumer.assign([TopicPartition(t, p, o or OFFSET_BEGINNING) for (t, p), o in positions.items()])

    def poll(self, timeout_seconds: float, limit: int) -> list[Record]:
        """Return at most `limit` new records."""
        first = self._consumer.poll(timeout_seconds)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(limit - 1, timeout=0)]
        return [record for message in messages if (record := self._take(message)) is not None]

    def position(self, topic: str, partition: int) -> int | None:
        """Return the offset before which every committed record was returned."""
        return self._positions.get((topic, partition))

    def known_end(self, topic: str, partition: int) -> int | None:
        """Return the end as of the newest fetch."""
        return known_end(self._consumer, topic, partition)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

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
        raise failed(error)


class ConfluentOffsets:
    """A consumer that fetches nothing.

    One that fetches answers only after its pending fetch, half a second later.
    """

    def __init__(self, broker: KafkaConnection, group: str) -> None:
        self._consumer = Consumer(consumer_settings(broker, group))

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return begin and end of the partition."""
        return bounds(self._consumer, topic, partition)

    def committed(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offsets."""
        return committed_offsets(self._consumer, topic, partitions)

    def commit(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the group's committed offsets."""
        positions = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
        try:
            self._consumer.commit(offsets=positions, asynchronous=False)
        except KafkaException as error:
            raise failed(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


def bounds(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Return begin and end of a partition, as the broker knows them."""
    try:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), REQUEST_SECONDS)
    except KafkaException as error:
        raise failed(error) from error
    return int(first), int(end)


def known_end(consumer: Consumer, topic: str, partition: int) -> int | None:
    """Return the end of a partition as of the newest fetch, without a request; None before the first fetch."""
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
    except KafkaException:  # the consumer has no metadata of this partition yet
        return None
    return None if end < 0 else int(end)


def committed_offsets(consumer: Consumer, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Return the offsets that the consumer's group has committed; partitions without one are left out."""
    requested = [TopicPartition(topic, partition) for partition in partitions]
    try:
        found = consumer.committed(requested, REQUEST_SECONDS)
    except KafkaException as error:
        raise failed(error) from error
    return {each.partition: each.offset for each in found if each.offset >= 0}
