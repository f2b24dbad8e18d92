"""The stream worker's side of the log: a group member whose decisions and offsets go in one Kafka transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from adapters.kafka.client import LogReader, Outgoing, broker_error, committed_offsets, reading, to_record
from cardwatch.errors import BrokerUnavailable, CardwatchError, Superseded
from cardwatch.records import Record
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS

SESSION_TIMEOUT_MS: Final = 6_000
TRANSACTION_TIMEOUT_MS: Final = 10_000
_TIMEOUT_SECONDS: Final = 10.0
_LIBRDKAFKA: Final = logging.getLogger("librdkafka")


class TransactionalLog:
    """The stream worker's side of the log.

    `slot` names the worker: it is its transactional id and its static group member, so a worker that comes back under
    the same slot aborts what its predecessor left open and gets the same partitions at once. `on_assigned` is told
    the new partitions and returns the position of each to read from; `on_revoked` is told the ones that are gone.
    """

    def __init__(
        self,
        bootstrap: str,
        slot: str,
        *,
        on_assigned: Callable[[list[int]], dict[int, int]],
        on_revoked: Callable[[list[int]], None],
    ) -> None:
        self._bootstrap = bootstrap
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._failure: CardwatchError | None = None
        self._is_broker_away = False
        self._consumer = Consumer(
            {
                **reading(bootstrap),
                "group.id": STREAM_GROUP,
                "group.instance.id": slot,
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": 1_000,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "error_cb": self._note,
            }
        )
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": slot,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "compression.type": "lz4",
                "linger.ms": 0,
                "retry.backoff.ms": 1,
                "queue.buffering.max.messages": 500_000,
                "log_level": 0,
                "logger": _LIBRDKAFKA,  # even so it says on stderr that it was fenced, in a form of its own
            }
        )
        try:
            self._producer.init_transactions(_TIMEOUT_SECONDS)
            self._consumer.subscribe(
                [TRANSACTIONS], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
        except KafkaException as error:
            self._consumer.close()
            raise broker_error(error, "starting the stream worker") from error

    def close(self) -> None:
        """Leave the broker. As a static member the slot keeps its partitions for the session timeout."""
        self._consumer.close()

    def poll(self, timeout_seconds: float, *, most: int) -> dict[int, list[Record]]:
        """The next records by partition, in log order; waits for the first at most `timeout_seconds`.

        Raises `BrokerUnavailable` when no broker can be reached any more, so that silence means that nothing came.
        """
        first = self._consumer.poll(timeout_seconds)
        self._raise_failure()
        if first is None:
            if self._is_broker_away:
                raise BrokerUnavailable(f"no broker answers at {self._bootstrap} any more")
            return {}
        messages = [first, *self._consumer.consume(most - 1, timeout=0)]
        self._raise_failure()
        batches: dict[int, list[Record]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                if error.fatal() or not _may_pass(error):
                    raise broker_error(KafkaException(error), f"reading {TRANSACTIONS}")
                continue
            batches.setdefault(message.partition(), []).append(to_record(message))
        return batches

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """The group's committed offset per partition; partitions without one are left out."""
        return committed_offsets(self._consumer, TRANSACTIONS, partitions)

    def first(self, partition: int) -> int:
        """The offset where the topic begins: retention has deleted what was before it."""
        try:
            place = TopicPartition(TRANSACTIONS, partition)
            return int(self._consumer.get_watermark_offsets(place, _TIMEOUT_SECONDS)[0])
        except KafkaException as error:
            raise broker_error(error, f"asking where {TRANSACTIONS}[{partition}] begins") from error

    def end(self, partition: int) -> int | None:
        """The offset after the last committed record as of the newest fetch, without asking; None before any."""
        try:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(TRANSACTIONS, partition), cached=True)
        except KafkaException:  # a partition that it has not heard of yet
            return None
        return None if end < 0 else int(end)

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        """Write the records and the group's new positions in one Kafka transaction: all of it or none.

        Raises `Superseded` if the transaction was fenced or had to be aborted: nothing of it is visible then.
        """
        try:
            self._producer.begin_transaction()
            for record in outgoing:
                self._producer.produce(record.topic, record.value, record.key, record.partition)
                self._producer.poll(0)
            self._producer.send_offsets_to_transaction(
                [TopicPartition(TRANSACTIONS, partition, offset) for partition, offset in positions.items()],
                self._consumer.consumer_group_metadata(),
                _TIMEOUT_SECONDS,
            )
            self._producer.commit_transaction(_TIMEOUT_SECONDS)
        except (KafkaException, BufferError) as error:
            self._abort()
            raise Superseded(f"the transaction was aborted: {error}") from error

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        """The records of `transactions` in [start, stop), a batch at a time; for the gap after a crash."""
        deadline = time.monotonic() + 60.0
        with LogReader(self._bootstrap, {(TRANSACTIONS, partition): start}) as reader:
            while reader.reached(TRANSACTIONS, partition) < stop:
                if batch := [record for record in reader.poll(1.0) if record.offset < stop]:
                    yield batch
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(f"could not read {TRANSACTIONS}[{partition}] {start}..{stop} within 60 s")

    def _note(self, error: KafkaError) -> None:
        self._is_broker_away |= error.code() == KafkaError._ALL_BROKERS_DOWN

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(_TIMEOUT_SECONDS)
        except KafkaException:
            return  # fenced: the broker has aborted it already, or will by its own timeout

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            positions = self._on_assigned([partition.partition for partition in partitions])
        except CardwatchError as error:  # an exception does not get out of librdkafka's callback: keep it for poll
            self._failure = error
            return
        consumer.assign([TopicPartition(TRANSACTIONS, p, o) for p, o in positions.items()])

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._on_revoked([partition.partition for partition in partitions])

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure


def _may_pass(error: KafkaError) -> bool:
    return bool(error.retriable()) or error.code() in (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._PARTITION_EOF,
    )
