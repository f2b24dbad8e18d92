"""The log as the stream worker uses it: a group member that writes decisions and offsets in one Kafka transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from adapters.kafka.consumer import LogReader
from adapters.kafka.errors import broker_error
from adapters.kafka.library import library_of
from adapters.kafka.offsets import with_coordinator
from adapters.kafka.port import RequestFailed
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable, Superseded
from cardwatch.records import Outgoing, Record
from cardwatch.topics import TRANSACTIONS

READ_TIMEOUT_SECONDS: Final = 60.0
"""Timeout for reading a range of the log again after a crash."""


class TransactionalLog:
    """The topic `transactions` with the offsets of the stream workers' group.

    `slot` is the worker's transactional id and static group member id. A worker that restarts under the same slot
    aborts the open transaction of its predecessor and gets the same partitions at once. `on_assigned` receives new
    partitions and returns the position to read each from; `on_revoked` receives the partitions that were taken away.

    All methods but `commit` belong to one thread, the polling one, which also runs the callbacks. `commit` may run on
    another thread at the same time. It proves the worker's membership by what the newest `poll` has found. After
    `on_revoked` has returned, it raises `Superseded` until a `poll` finds the next membership. So `on_revoked` must
    wait for a commit in flight and discard the batches after it, or a batch of the old membership could be committed
    under the new one.
    """

    def __init__(
        self,
        broker: KafkaConnection,
        slot: str,
        *,
        on_assigned: Callable[[list[int]], Mapping[int, int]],
        on_revoked: Callable[[list[int]], None],
    ) -> None:
        self._broker = broker
        try:
            self._client = library_of(broker).worker(broker, slot, on_assigned=on_assigned, on_revoked=on_revoked)
        except RequestFailed as error:
            raise broker_error(error, "starting the stream worker") from error

    def close(self) -> None:
        """Close the connection. As a static member the slot keeps its partitions for the session timeout."""
        self._client.close()

    def poll(self, timeout_seconds: float, *, limit: int) -> dict[int, list[Record]]:
        """Return at most `limit` new records by partition, in log order. The timeout is that of the first record.

        Raises `BrokerUnavailable` if no broker can be reached, so that an empty result means that there are no records.
        """
        try:
            polled = self._client.poll(timeout_seconds, limit)
            lost = None if polled else self._client.broker_lost()
        except RequestFailed as error:
            raise broker_error(error, f"reading {TRANSACTIONS}") from error
        if lost is not None:
            reason = f": {lost.text}" if lost.text else ""
            raise BrokerUnavailable(f"no broker answers at {self._broker} any more{reason}")
        return polled

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offset per partition; partitions without one are left out."""
        return with_coordinator(lambda: self._client.committed(partitions), "asking for committed offsets")

    def first(self, partition: int) -> int:
        """Return the offset where the topic begins: retention has deleted the records before it."""
        try:
            return self._client.first(partition)
        except RequestFailed as error:
            raise broker_error(error, f"asking where {TRANSACTIONS}[{partition}] begins") from error

    def end(self, partition: int) -> int | None:
        """Return the offset after the last committed record as of the newest fetch; None before the first fetch."""
        return self._client.end(partition)

    def pause(self, partitions: Sequence[int]) -> None:
        """Fetch and return no records of these partitions, which remain assigned, until `resume`."""
        self._client.pause(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Continue paused partitions after the last record that `poll` returned."""
        self._client.resume(partitions)

    def seek(self, positions: Mapping[int, int]) -> None:
        """Continue assigned partitions at these offsets, for records that must be processed again."""
        try:
            self._client.seek(positions)
        except RequestFailed as error:
            raise broker_error(error, f"going back in {TRANSACTIONS}") from error

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Write the records and the group's new positions in one Kafka transaction.

        Raises `Superseded` if the transaction was fenced or aborted. Nothing of it is visible then, and a new log must
        be opened. Only if the broker did not answer in time, it may still have committed: the offsets tell.
        """
        try:
            self._client.commit(outgoing, positions)
        except RequestFailed as error:
            raise Superseded(f"the transaction was aborted: {error}") from error

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        """Yield the records of [start, stop) in batches, to repeat the processing after a crash."""
        deadline = time.monotonic() + READ_TIMEOUT_SECONDS
        with LogReader(self._broker, {(TRANSACTIONS, partition): start}) as reader:
            while reader.reached(TRANSACTIONS, partition) < stop:
                if batch := [record for record in reader.poll(1.0) if record.offset < stop]:
                    yield batch
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(
                        f"could not read {TRANSACTIONS}[{partition}] {start}..{stop} within {READ_TIMEOUT_SECONDS:g} s"
                    )
