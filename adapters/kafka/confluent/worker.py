"""The stream worker's consumer and transactional producer, with confluent-kafka."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from adapters.kafka.confluent.abandonable_thread import AbandonableThread
from adapters.kafka.confluent.connection import (
    ErrorLog,
    client_settings,
    consumer_settings,
    failed,
    is_transient,
    to_record,
)
from adapters.kafka.confluent.reader import bounds, committed_offsets, known_end
from adapters.kafka.diagnosis import Cause
from adapters.kafka.limits import (
    HEARTBEAT_INTERVAL_MS,
    MAX_QUEUED_RECORDS,
    REQUEST_SECONDS,
    SESSION_TIMEOUT_MS,
    TRANSACTION_TIMEOUT_MS,
    WORKER_FETCH_WAIT_MS,
)
from adapters.kafka.port import Failure, OnAssigned, OnRevoked, RequestFailed
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import CardwatchError
from cardwatch.records import Outgoing, Record
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS

FETCHED_AHEAD: Final = 10_000
"""Records of a partition up to which more are fetched in advance, five of the largest batches. The library's default is
ten times as many: a worker that is far behind would hold hundreds of MB."""
FETCHED_AHEAD_KILOBYTES: Final = 16_384
"""The same in kB of all partitions, for large records."""
FETCH_PAUSE_MS: Final = 50
"""Time until it is checked again whether more may be fetched. The default of a second would let the records run out."""

_HARMLESS: Final = (KafkaError._MAX_POLL_EXCEEDED, KafkaError._PARTITION_EOF)
OFFSETS_SECONDS: Final = 5.0
"""Time for adding the offsets to a transaction, which takes milliseconds. It is short because the library does not
notice by itself that it waits in vain."""
_LIBRDKAFKA: Final = logging.getLogger("librdkafka")


class ConfluentWorker:
    """A static group member and a transactional producer."""

    def __init__(self, broker: KafkaConnection, slot: str, *, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        self._broker = broker
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._failure: CardwatchError | None = None
        self._errors = ErrorLog()
        self._membership: Any = None
        self._rebalances = 0
        self._offsets_thread = AbandonableThread("send-offsets")
        self._consumer = Consumer(
            {
                **consumer_settings(broker, STREAM_GROUP),
                "group.instance.id": slot,
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": HEARTBEAT_INTERVAL_MS,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": WORKER_FETCH_WAIT_MS,
                "queued.min.messages": FETCHED_AHEAD,
                "queued.max.messages.kbytes": FETCHED_AHEAD_KILOBYTES,
                "fetch.queue.backoff.ms": FETCH_PAUSE_MS,
                "error_cb": self._errors,
            }
        )
        self._producer = Producer(
            {
                **client_settings(broker),
                "transactional.id": slot,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "compression.type": "lz4",
                "linger.ms": 0,
                "retry.backoff.ms": 1,
                "queue.buffering.max.messages": MAX_QUEUED_RECORDS,
                "log_level": 0,
                "logger": _LIBRDKAFKA,  # without it, librdkafka reports fencing on stderr in spite of log_level
            }
        )
        try:
            self._producer.init_transactions(REQUEST_SECONDS)
            self._consumer.subscribe(
                [TRANSACTIONS], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        except KafkaException as error:
            self._consumer.close()
            raise failed(error) from error

    def close(self) -> None:
        """Close both connections."""
        self._consumer.close()
        self._offsets_thread.close()

    def poll(self, timeout_seconds: float, limit: int) -> dict[int, list[Record]]:
        """Return at most `limit` new records by partition."""
        first = self._consumer.poll(timeout_seconds)
        self._raise_failure()
        messages = []
        if first is not None:
            rebalances = self._rebalances
            messages = self._consumer.consume(limit - 1, timeout=0)
            self._raise_failure()
            if self._rebalances == rebalances:
                messages = [first, *messages]
            # Otherwise its partition was taken away. If it was assigned again, the record is delivered again.
        self._membership = self._consumer.consumer_group_metadata()
        batches: dict[int, list[Record]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                if error.fatal() or not (is_transient(error) or error.code() in _HARMLESS):
                    raise failed(error)
                continue
            batches.setdefault(message.partition(), []).append(to_record(message))
        return batches

    def broker_lost(self) -> Cause | None:
        """Return why no broker can be reached; the reason may be empty."""
        if not self._errors.are_all_brokers_down:
            return None
        return self._errors.cause(self._broker) or Cause("", False)

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offsets."""
        return committed_offsets(self._consumer, TRANSACTIONS, partitions)

    def first(self, partition: int) -> int:
        """Return the offset where the partition begins."""
        return bounds(self._consumer, TRANSACTIONS, partition)[0]

    def end(self, partition: int) -> int | None:
        """Return the end as of the newest fetch."""
        return known_end(self._consumer, TRANSACTIONS, partition)

    def pause(self, partitions: Sequence[int]) -> None:
        """Fetch and return no records of these partitions. Those that were fetched in advance are fetched again."""
        self._consumer.pause(_places(partitions))

    def resume(self, partitions: Sequence[int]) -> None:
        """Continue paused partitions."""
        self._consumer.resume(_places(partitions))

    def seek(self, positions: Mapping[int, int]) -> None:
        """Continue assigned partitions at these offsets."""
        try:
            for partition, offset in positions.items():
                self._consumer.seek(TopicPartition(TRANSACTIONS, partition, offset))
        except KafkaException as error:
            raise failed(error) from error

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Write records and positions in one transaction, or abort it."""
        membership = self._membership
        if membership is None:
            raise RequestFailed("its partitions were taken away", Failure.SUPERSEDED)
        try:
            self._producer.begin_transaction()
            produce = self._producer.produce
            for record in outgoing:
                if record.headers:
                    produce(record.topic, record.value, record.key, record.partition, headers=record.headers)
                else:
                    produce(record.topic, record.value, record.key, record.partition)
            self._send_offsets(positions, membership)
            self._producer.commit_transaction(REQUEST_SECONDS)
        except (KafkaException, BufferError, TimeoutError) as error:
            self._abort()
            raise (failed(error) if isinstance(error, KafkaException) else RequestFailed(str(error))) from error

    def _send_offsets(self, positions: Mapping[int, int], membership: Any) -> None:
        """Add the positions to the transaction. Raises `TimeoutError` if the broker does not answer in time.

        librdkafka ignores the timeout of this call (its issue 5456): if the connection to the group's coordinator
        breaks at this moment, it may wait for ever. So the call has a thread of its own, which is left behind then. It
        harms nothing: the transaction is never committed, and the next producer of this slot fences this one.
        """
        places = [TopicPartition(TRANSACTIONS, partition, offset) for partition, offset in positions.items()]
        send = partial(self._producer.send_offsets_to_transaction, places, membership, OFFSETS_SECONDS)
        try:
            self._offsets_thread.call(send, OFFSETS_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"the group's coordinator did not answer within {OFFSETS_SECONDS:g} s") from None

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(REQUEST_SECONDS)
        except KafkaException:
            return  # fenced: the broker has aborted it, or will after its timeout

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._rebalances += 1
        try:
            positions = self._on_assigned([partition.partition for partition in partitions])
        except CardwatchError as error:  # librdkafka's callback swallows exceptions: `poll` raises it
            self._failure = error
            return
        consumer.assign([TopicPartition(TRANSACTIONS, p, o) for p, o in positions.items()])

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._rebalances += 1
        self._on_revoked([partition.partition for partition in partitions])
        self._membership = None

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._membership = None  # others may own the partitions already
        self._revoked(consumer, partitions)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure


def _places(partitions: Sequence[int]) -> list[TopicPartition]:
    return [TopicPartition(TRANSACTIONS, partition) for partition in partitions]
