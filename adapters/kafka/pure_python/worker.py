"""The stream worker's consumer and transactional producer, with kafka-python."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import IllegalStateError, KafkaError, RetriableError
from kafka.future import Future
from kafka.structs import ConsumerGroupMetadata

from adapters.kafka.diagnosis import Cause
from adapters.kafka.limits import HEARTBEAT_INTERVAL_MS, REQUEST_SECONDS, SESSION_TIMEOUT_MS, WORKER_FETCH_WAIT_MS
from adapters.kafka.port import Failure, OnAssigned, OnRevoked, RequestFailed
from adapters.kafka.pure_python.connection import Connections, consumer_settings, failed, to_record
from adapters.kafka.pure_python.transactions import TransactionalProducer
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.records import Outgoing, Record
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS


class PurePythonWorker:
    """A static group member and a transactional producer.

    The library calls a listener on the thread of its event loop, which must not wait: heartbeats would stop. So the
    listener only interrupts `KafkaConsumer.poll`, and `poll` calls back on its own thread. The library repeats an
    interrupted revocation, and goes on with the rebalance then.
    """

    def __init__(self, broker: KafkaConnection, slot: str, *, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._connections = Connections(broker)
        self._membership: ConsumerGroupMetadata | None = None
        self._listener = _Listener()
        self._producer = TransactionalProducer(broker, slot)
        self._consumer = KafkaConsumer(
            **consumer_settings(broker, self._connections),
            group_id=STREAM_GROUP,
            group_instance_id=slot,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=WORKER_FETCH_WAIT_MS,
        )
        self._consumer.subscribe([TRANSACTIONS], listener=self._listener)

    def close(self) -> None:
        """Close both connections."""
        self._listener.is_closing = True
        self._consumer.close(autocommit=False)
        self._producer.close()

    def poll(self, timeout_seconds: float, limit: int) -> dict[int, list[Record]]:
        """Return at most `limit` new records by partition."""
        deadline = time.monotonic() + timeout_seconds
        polled: dict[TopicPartition, list[Record]] = {}
        while True:
            remaining = max(deadline - time.monotonic(), 0.0)
            self._take_up_resumed()
            self._keep_result_of_join()
            try:
                polled = self._consumer.poll(int(1_000 * remaining), max_records=limit)
            except KafkaError as error:
                if self._listener.call_back(self._assign, self._revoke):
                    if remaining:
                        continue
                elif not isinstance(error, RetriableError):
                    raise failed(error) from error
            break
        self._membership = self._consumer.group_metadata()
        return {place.partition: [to_record(record) for record in records] for place, records in polled.items()}

    def broker_lost(self) -> Cause | None:
        """Return why no broker can be reached; the reason may be empty."""
        if not self._connections.are_all_down:
            return None
        return self._connections.cause or Cause("", False)

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offsets."""
        try:
            found = {
                place.partition: self._consumer.committed(place, timeout_ms=1_000 * REQUEST_SECONDS)
                for place in _places(partitions)
            }
        except KafkaError as error:
            raise failed(error) from error
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def first(self, partition: int) -> int:
        """Return the offset where the partition begins."""
        [place] = _places([partition])
        try:
            return int(self._consumer.beginning_offsets([place], timeout_ms=1_000 * REQUEST_SECONDS)[place])
        except KafkaError as error:
            raise failed(error) from error

    def end(self, partition: int) -> int | None:
        """Return the end as of the newest fetch."""
        try:
            end: int | None = self._consumer.highwater(*_places([partition]))
        except IllegalStateError:
            return None
        return end

    def pause(self, partitions: Sequence[int]) -> None:
        """Return no records of these partitions. What was fetched in advance is kept."""
        self._consumer.pause(*_places(partitions))

    def resume(self, partitions: Sequence[int]) -> None:
        """Continue paused partitions."""
        self._consumer.resume(*_places(partitions))

    def seek(self, positions: Mapping[int, int]) -> None:
        """Continue assigned partitions at these offsets."""
        try:
            for partition, offset in positions.items():
                self._consumer.seek(*_places([partition]), offset)
        except ValueError as error:  # the partition is not assigned
            raise RequestFailed(str(error), Failure.SUPERSEDED) from error

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Write records and positions in one transaction, or abort it."""
        membership = self._membership
        if membership is None:
            raise RequestFailed("its partitions were taken away", Failure.SUPERSEDED)
        offsets = {TopicPartition(TRANSACTIONS, partition): offset for partition, offset in positions.items()}
        self._producer.commit(outgoing, offsets, membership)

    def _take_up_resumed(self) -> None:
        """Let the library take up what it has fetched of resumed partitions.

        It does so only where no records are in turn, and takes read ones for some: the partition would be silent.
        """
        fetcher = self._consumer._fetcher
        if not fetcher._next_partition_records:
            fetcher._next_partition_records = None

    def _keep_result_of_join(self) -> None:
        """Let the library take up a join that ends between two polls.

        kafka-python 3.0.12 discards it and joins anew, which makes the other members join anew too. Workers whose
        polls are short beside the time that they spend on a batch rebalance for minutes then.
        """
        coordinator = self._consumer._coordinator
        task = coordinator._join_task
        if task is not None and not isinstance(task, _JoinInProgress):
            coordinator._join_task = _JoinInProgress(task)

    def _assign(self, partitions: list[int]) -> None:
        self.seek(self._on_assigned(partitions))

    def _revoke(self, partitions: list[int], *, is_lost: bool) -> None:
        if is_lost:
            self._membership = None  # others may own the partitions already
        self._on_revoked(partitions)
        self._membership = None


class _JoinInProgress:
    """A request to join the group, which counts as pending until the library has awaited its result."""

    is_done: Final = False

    def __init__(self, task: Future) -> None:
        self.add_callback = task.add_callback
        self.add_errback = task.add_errback


class _Interrupted(Exception):
    """Ends `KafkaConsumer.poll`, so that the callback runs on the thread of its caller."""


class _Revoke(Protocol):
    def __call__(self, partitions: list[int], *, is_lost: bool) -> None: ...


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Interrupts a poll at each change of the assignment."""

    def __init__(self) -> None:
        self._assigned: list[int] | None = None
        self._revoked: tuple[list[int], bool] | None = None
        self._owned: set[int] = set()
        self.is_closing = False
        """Whether the consumer is being closed, so that nobody polls."""

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the new partitions."""
        self._assigned = sorted(place.partition for place in assigned)
        raise _Interrupted

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Note the partitions, unless the owner has been called back already."""
        self._note(revoked, is_lost=False)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Note the partitions."""
        self._note(lost, is_lost=True)

    def call_back(self, assign: Callable[[list[int]], None], revoke: _Revoke) -> bool:
        """Call back for what was noted; returns whether there was something."""
        if self._revoked is not None:
            (partitions, is_lost), self._revoked = self._revoked, None
            self._owned -= set(partitions)
            revoke(partitions, is_lost=is_lost)
            return True
        if self._assigned is not None:
            partitions, self._assigned = self._assigned, None
            self._owned = set(partitions)
            assign(partitions)
            return True
        return False

    def _note(self, places: Iterable[TopicPartition], *, is_lost: bool) -> None:
        partitions = sorted(self._owned & {place.partition for place in places})
        if partitions and not self.is_closing:
            self._revoked = partitions, is_lost
            raise _Interrupted


def _places(partitions: Sequence[int]) -> list[TopicPartition]:
    return [TopicPartition(TRANSACTIONS, partition) for partition in partitions]
