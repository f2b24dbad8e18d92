"""The log as the stream worker uses it: a group member that writes decisions and offsets in one Kafka transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from adapters.kafka.connection import REQUEST_SECONDS, broker_error, consumer_settings, is_transient, to_record
from adapters.kafka.consumer import LogReader
from adapters.kafka.diagnosis import ErrorLog
from adapters.kafka.offsets import committed_offsets
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable, CardwatchError, Superseded
from cardwatch.records import Outgoing, Record
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS

SESSION_TIMEOUT_MS: Final = 6_000
"""Time after which the partitions of a silent worker go to others. It is the broker's minimum by default."""
TRANSACTION_TIMEOUT_MS: Final = 10_000
"""Time after which the broker aborts an open transaction. Readers of committed records wait for it."""
READ_TIMEOUT_SECONDS: Final = 60.0
"""Timeout for reading a range of the log again after a crash."""

_HARMLESS: Final = (KafkaError._MAX_POLL_EXCEEDED, KafkaError._PARTITION_EOF)
_LIBRDKAFKA: Final = logging.getLogger("librdkafka")


class TransactionalLog:
    """The topic `transactions` with the offsets of the stream workers' group.

    `slot` is the worker's transactional id and static group member id. A worker that restarts under the same slot
    aborts the open transaction of its predecessor and gets the same partitions at once. `on_assigned` receives new
    partitions and returns the position to read each from; `on_revoked` receives the partitions that were taken away.
    """

    def __init__(
        self,
        broker: KafkaConnection,
        slot: str,
        *,
        on_assigned: Callable[[list[int]], dict[int, int]],
        on_revoked: Callable[[list[int]], None],
    ) -> None:
        self._broker = broker
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._failure: CardwatchError | None = None
        self._errors = ErrorLog()
        self._consumer = Consumer(
            {
                **consumer_settings(broker, STREAM_GROUP),
                "group.instance.id": slot,
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": 1_000,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "error_cb": self._errors,
            }
        )
        self._producer = Producer(
            {
                **broker.client_settings(),
                "transactional.id": slot,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "compression.type": "lz4",
                "linger.ms": 0,
                "retry.backoff.ms": 1,
                "queue.buffering.max.messages": 500_000,
                "log_level": 0,
                "logger": _LIBRDKAFKA,  # without it, librdkafka reports fencing on stderr in spite of log_level
            }
        )
        try:
            self._producer.init_transactions(REQUEST_SECONDS)
            self._consumer.subscribe(
                [TRANSACTIONS], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
        except KafkaException as error:
            self._consumer.close()
            raise broker_error(error, "starting the stream worker") from error

    def close(self) -> None:
        """Close the connection. As a static member the slot keeps its partitions for the session timeout."""
        self._consumer.close()

    def poll(self, timeout_seconds: float, *, limit: int) -> dict[int, list[Record]]:
        """Return at most `limit` new records by partition, in log order. The timeout is that of the first record.

        Raises `BrokerUnavailable` if no broker can be reached, so that an empty result means that there are no records.
        """
        first = self._consumer.poll(timeout_seconds)
        self._raise_failure()
        if first is None:
            if self._errors.are_all_brokers_down:
                cause = self._errors.cause(self._broker)
                reason = f": {cause.text}" if cause else ""
                raise BrokerUnavailable(f"no broker answers at {self._broker} any more{reason}")
            return {}
        messages = [first, *self._consumer.consume(limit - 1, timeout=0)]
        self._raise_failure()
        batches: dict[int, list[Record]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                if error.fatal() or not (is_transient(error) or error.code() in _HARMLESS):
                    raise broker_error(KafkaException(error), f"reading {TRANSACTIONS}")
                continue
            batches.setdefault(message.partition(), []).append(to_record(message))
        return batches

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """Return the group's committed offset per partition; partitions without one are left out."""
        return committed_offsets(self._consumer, TRANSACTIONS, partitions)

    def first(self, partition: int) -> int:
        """Return the offset where the topic begins: retention has deleted the records before it."""
        try:
            return int(
                self._consumer.get_watermark_offsets(TopicPartition(TRANSACTIONS, partition), REQUEST_SECONDS)[0]
            )
        except KafkaException as error:
            raise broker_error(error, f"asking where {TRANSACTIONS}[{partition}] begins") from error

    def end(self, partition: int) -> int | None:
        """Return the offset after the last committed record as of the newest fetch; None before the first fetch."""
        try:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(TRANSACTIONS, partition), cached=True)
        except KafkaException:  # the consumer has no metadata of this partition yet
            return None
        return None if end < 0 else int(end)

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Write the records and the group's new positions in one Kafka transaction.

        Raises `Superseded` if the transaction was fenced or aborted. Nothing of it is visible then.
        """
        try:
            self._producer.begin_transaction()
            for record in outgoing:
                self._producer.produce(record.topic, record.value, record.key, record.partition)
                self._producer.poll(0)
            self._producer.send_offsets_to_transaction(
                [TopicPartition(TRANSACTIONS, partition, offset) for partition, offset in positions.items()],
                self._consumer.consumer_group_metadata(),
                REQUEST_SECONDS,
            )
            self._producer.commit_transaction(REQUEST_SECONDS)
        except (KafkaException, BufferError) as error:
            self._abort()
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

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(REQUEST_SECONDS)
        except KafkaException:
            return  # fenced: the broker has aborted it, or will after its timeout

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            positions = self._on_assigned([partition.partition for partition in partitions])
        except CardwatchError as error:  # librdkafka's callback swallows exceptions: `poll` raises it
            self._failure = error
            return
        consumer.assign([TopicPartition(TRANSACTIONS, p, o) for p, o in positions.items()])

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._on_revoked([partition.partition for partition in partitions])

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
