"""Offsets: where topics end, and what consumer groups have committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Final, TypeVar

from adapters.kafka.errors import broker_error
from adapters.kafka.library import library_of
from adapters.kafka.limits import REQUEST_SECONDS
from adapters.kafka.port import Failure, RequestFailed
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.retry import retry

_RETRY_SECONDS: Final = 0.05

T = TypeVar("T")


class OffsetReader:
    """Reads end offsets and a group's committed offsets, on a connection of its own.

    The connection of a `LogReader` would respond only after its pending fetch, half a second later.
    """

    def __init__(self, broker: KafkaConnection, group: str = "cardwatch-inquiry") -> None:
        self._client = library_of(broker).offsets(broker, group)

    def committed(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offset per partition; partitions without one are left out."""
        return with_coordinator(lambda: self._client.committed(topic, partitions), "asking for committed offsets")

    def begin(self, topic: str, partition: int) -> int:
        """Return the offset where the partition begins: retention has deleted the records before it."""
        return self._bounds(topic, partition)[0]

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record of the partition, control records included."""
        return self._bounds(topic, partition)[1]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        try:
            return self._client.bounds(topic, partition)
        except RequestFailed as error:
            raise broker_error(error, f"asking for the bounds of {topic}[{partition}]") from error


def commit_offsets(broker: KafkaConnection, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Set the committed offsets of a group that has no members, before its first start."""
    with closing(library_of(broker).offsets(broker, group)) as client:
        with_coordinator(lambda: client.commit(topic, offsets), f"committing offsets of {group}")


def with_coordinator(request: Callable[[], T], doing: str) -> T:
    """Return the result of `request`, which is retried while the group's coordinator is elected or moved.

    The clients pass these errors on instead of waiting, above all shortly after a broker's start. Raises what
    `broker_error` returns for another error.
    """
    try:
        return retry(request, timeout_seconds=REQUEST_SECONDS, retry_seconds=_RETRY_SECONDS, is_transient=is_election)
    except RequestFailed as error:
        raise broker_error(error, doing) from error


def is_election(error: BaseException) -> bool:
    """Whether the request failed because a leader or a coordinator is being elected."""
    return isinstance(error, RequestFailed) and error.failure is Failure.ELECTION
