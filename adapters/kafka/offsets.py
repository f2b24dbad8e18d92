"""Offsets: where topics end, and what consumer groups have committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from adapters.kafka.connection import REQUEST_SECONDS, broker_error, consumer_settings
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.retry import retry

_RETRY_SECONDS: Final = 0.05
_COORDINATOR_MOVES: Final = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)

T = TypeVar("T")


class OffsetReader:
    """Reads end offsets and a group's committed offsets, on a connection of its own.

    The connection of a `LogReader` would respond only after its pending fetch, half a second later.
    """

    def __init__(self, broker: KafkaConnection, group: str = "cardwatch-inquiry") -> None:
        self._consumer = Consumer(consumer_settings(broker, group))

    def committed(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offset per partition; partitions without one are left out."""
        return committed_offsets(self._consumer, topic, partitions)

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record of the partition, control records included."""
        try:
            return int(self._consumer.get_watermark_offsets(TopicPartition(topic, partition), REQUEST_SECONDS)[1])
        except KafkaException as error:
            raise broker_error(error, f"asking for the end of {topic}[{partition}]") from error

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


def committed_offsets(consumer: Consumer, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Return the offsets that the consumer's group has committed; partitions without one are left out."""
    requested = [TopicPartition(topic, partition) for partition in partitions]
    found = _with_coordinator(lambda: consumer.committed(requested, REQUEST_SECONDS), "asking for committed offsets")
    return {each.partition: each.offset for each in found if each.offset >= 0}


def commit_offsets(broker: KafkaConnection, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Set the committed offsets of a group that has no members, before its first start."""
    consumer = Consumer(consumer_settings(broker, group))
    positions = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    try:
        _with_coordinator(
            lambda: consumer.commit(offsets=positions, asynchronous=False), f"committing offsets of {group}"
        )
    finally:
        consumer.close()


def _with_coordinator(request: Callable[[], T], doing: str) -> T:
    """Return the result of `request`, which is retried while the group's coordinator is elected or moved.

    librdkafka passes these errors on instead of waiting, above all shortly after a broker's start.
    """
    try:
        return retry(
            request, timeout_seconds=REQUEST_SECONDS, retry_seconds=_RETRY_SECONDS, is_transient=_coordinator_moves
        )
    except KafkaException as error:
        raise broker_error(error, doing) from error


def _coordinator_moves(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _COORDINATOR_MOVES
