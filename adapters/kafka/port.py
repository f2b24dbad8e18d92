"""The port of the two Kafka clients: one protocol for each use, and the error that both raise.

`adapters.kafka.confluent` and `adapters.kafka.pure_python` implement it, and the rest of `adapters.kafka` is written
against it. All readers see committed records only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Protocol

from adapters.kafka.diagnosis import Cause
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.partitioning import Partitioner
from cardwatch.records import Headers, Outgoing, Record

OnAssigned = Callable[[list[int]], Mapping[int, int]]
"""Receives new partitions and returns the position to read each from."""
OnRevoked = Callable[[list[int]], None]
"""Receives partitions that were taken away."""


class Failure(Enum):
    """The kinds of errors of a client."""

    SUPERSEDED = auto()
    """Another producer or group member has taken over."""
    UNKNOWN_TOPIC = auto()
    FORBIDDEN = auto()
    """The user lacks a right."""
    REJECTED = auto()
    """The login or TLS failed."""
    ELECTION = auto()
    """A leader or a coordinator is being elected; the same request succeeds shortly afterwards."""
    OTHER = auto()


class RequestFailed(Exception):
    """A request to the broker failed. Its text is the client's reason, `failure` says what it means."""

    def __init__(self, reason: str, failure: Failure = Failure.OTHER) -> None:
        super().__init__(reason)
        self.failure = failure


class ReaderClient(Protocol):
    """Follows given partitions, without a group."""

    def poll(self, timeout_seconds: float, limit: int) -> list[Record]:
        """Return at most `limit` new records, in order per partition. The timeout is that of the first record."""

    def position(self, topic: str, partition: int) -> int | None:
        """Return the offset before which every committed record was returned; None before anything is known."""

    def known_end(self, topic: str, partition: int) -> int | None:
        """Return the offset after the last committed record as of the newest fetch; None before the first fetch."""

    def close(self) -> None:
        """Close the connection."""


class WriterClient(Protocol):
    """An idempotent producer that keeps the order of each key's records."""

    @property
    def pending(self) -> int:
        """Number of queued records that the broker has not accepted yet."""

    @property
    def delivered(self) -> int:
        """Number of records that the broker has accepted."""

    @property
    def failure(self) -> str | None:
        """Why a record was given up, None if none was."""

    def write(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Queue a record; wait if the queue is full."""

    def flush(self, timeout_seconds: float) -> int:
        """Wait until no record is pending, at most for the timeout, and return the number of pending records."""

    def cause(self) -> Cause | None:
        """Return why the broker does not take records, None if it is not known."""

    def close(self) -> None:
        """Discard pending records, so that none can arrive later."""


class OffsetsClient(Protocol):
    """Offsets of partitions and of one group, on a connection of its own."""

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the offset where the partition begins, and the one after its last committed record."""
        ...

    def committed(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offset per partition; partitions without one are left out."""

    def commit(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the committed offsets of the group, which has no members."""

    def close(self) -> None:
        """Close the connection."""


class WorkerClient(Protocol):
    """A member of the stream workers' group on `transactions`, and its transactional producer.

    `commit` may run on another thread than the other methods. It touches the producer only, and proves the membership
    by what the newest `poll` has found. An error that a callback raises is raised by `poll`.
    """

    def poll(self, timeout_seconds: float, limit: int) -> dict[int, list[Record]]:
        """Return at most `limit` new records by partition, in log order."""

    def broker_lost(self) -> Cause | None:
        """Return why no broker can be reached, None if one can."""

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offset per partition; partitions without one are left out."""

    def first(self, partition: int) -> int:
        """Return the offset where the partition begins."""
        ...

    def end(self, partition: int) -> int | None:
        """Return the offset after the last committed record as of the newest fetch, without asking the broker."""

    def pause(self, partitions: Sequence[int]) -> None:
        """Fetch and return no records of these partitions, which remain assigned."""

    def resume(self, partitions: Sequence[int]) -> None:
        """Continue paused partitions after the last record that `poll` returned."""

    def seek(self, positions: Mapping[int, int]) -> None:
        """Continue assigned partitions at these offsets."""

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Write records and positions in one transaction, or abort it and raise `RequestFailed`."""

    def close(self) -> None:
        """Close both connections."""


class AdministrationClient(Protocol):
    """Questions about a cluster, and the creation of topics."""

    def brokers(self, timeout_seconds: float) -> list[tuple[str, int]]:
        """Return the addresses that the brokers of the cluster advertise; none if none answers in time."""

    def cause(self) -> Cause | None:
        """Return why no broker answers, None if it is not known."""

    def create(self, partitions: Mapping[str, int], config: Mapping[str, str]) -> dict[str, str]:
        """Create missing topics. Returns the reasons for those that cannot be created; existing ones are in order."""

    def led_partitions(self) -> dict[str, int]:
        """Return the number of partitions per topic, for the topics all of whose partitions have a leader."""

    def ends(self, topic: str, *, read_committed: bool) -> dict[int, int]:
        """Return the offset after the last record per partition."""

    def batch_limits(self, topics: Sequence[str]) -> dict[str, int | RequestFailed]:
        """Return the value of `max.message.bytes` per topic, or why it is not known."""

    def close(self) -> None:
        """Close the connection."""


class ClientLibrary(Protocol):
    """A Kafka client: what opens each kind of connection. Opening one waits for no broker, but for `worker`."""

    def reader(self, broker: KafkaConnection, positions: Mapping[tuple[str, int], int]) -> ReaderClient:
        """Return a reader of partitions from given positions."""
        ...

    def writer(self, broker: KafkaConnection, partitioner: Partitioner, delivery_timeout_ms: int) -> WriterClient:
        """Return a producer; a timeout of 0 keeps records until the broker is back."""
        ...

    def offsets(self, broker: KafkaConnection, group: str) -> OffsetsClient:
        """Return a reader of offsets."""
        ...

    def worker(
        self, broker: KafkaConnection, slot: str, *, on_assigned: OnAssigned, on_revoked: OnRevoked
    ) -> WorkerClient:
        """Join the group as the static member `slot`, and take over the transactional id `slot`."""
        ...

    def administration(self, broker: KafkaConnection) -> AdministrationClient:
        """Return an administrator."""
        ...
