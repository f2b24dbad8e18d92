"""A transactional producer, with kafka-python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, UnknownTopicOrPartitionError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from adapters.kafka.limits import MAX_RECORD_BYTES, REQUEST_SECONDS, TRANSACTION_TIMEOUT_MS
from adapters.kafka.pure_python.connection import REQUEST_TIMEOUT_MS, Connections, client_settings, failed
from adapters.kafka.pure_python.writer import PRODUCER, discard
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.records import Outgoing


class TransactionalProducer:
    """Commits records and offsets together.

    It uses three inner parts of the library, whose version is pinned. The public methods wait for a broker without a
    limit, so the requests are made on the transaction manager and waited for as long as any other. And
    `KafkaProducer.send` spends half of its time on what is the same for all records of a batch, so that records are
    handed to the accumulator, as it does itself, and the sender is woken.
    """

    def __init__(self, broker: KafkaConnection, slot: str) -> None:
        self._producer = KafkaProducer(
            **client_settings(broker, Connections(broker)),
            **PRODUCER,
            transactional_id=slot,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            retry_backoff_ms=1,
            linger_ms=TRANSACTION_TIMEOUT_MS // 10,  # `commit` flushes: until then batches grow
            delivery_timeout_ms=REQUEST_TIMEOUT_MS + TRANSACTION_TIMEOUT_MS,
            max_block_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            self._producer.init_transactions()
        except KafkaError as error:
            self.close()
            raise failed(error) from error

    def commit(
        self, outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, int], membership: ConsumerGroupMetadata
    ) -> None:
        """Write records and offsets in one transaction, or abort it and raise `RequestFailed`.

        A record that was given up only for lack of time does not fail the library's transaction, so each delivery is
        checked before the commit.
        """
        manager = self._producer._transaction_manager
        try:
            self._producer.begin_transaction()
            deliveries = self._hand_over(outgoing)
            self._producer.flush(REQUEST_SECONDS)
            for delivery in deliveries:
                if not delivery.succeeded():
                    raise delivery.exception or KafkaTimeoutError("a record was not acknowledged")
            places = {place: OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
            self._await(manager.send_offsets_to_transaction(places, membership))
            self._await(manager.begin_commit())
        except (KafkaError, ValueError) as error:
            self._abort()
            raise failed(error) from error

    def close(self) -> None:
        """Close the connection."""
        discard(self._producer)

    def _hand_over(self, outgoing: Sequence[Outgoing]) -> list[Any]:
        """Queue the records for sending and return their futures."""
        append = self._producer._accumulator.append
        places: dict[tuple[str, int], TopicPartition] = {}
        deliveries = []
        for record in outgoing:
            topic, partition, value = record.topic, record.partition, record.value
            place = places.get((topic, partition))
            if place is None:
                if partition not in self._producer.partitions_for(topic):
                    raise UnknownTopicOrPartitionError(f"{topic}[{partition}]")
                place = places[topic, partition] = TopicPartition(topic, partition)
                self._producer._transaction_manager.maybe_add_partition_to_transaction(place)
            if len(record.key) + len(value) > MAX_RECORD_BYTES:
                raise MessageSizeTooLargeError(f"a record of {len(value):,} bytes for {topic}")
            delivery, _, is_new_batch, _ = append(place, None, record.key, value, list(record.headers))
            deliveries.append(delivery)
            if is_new_batch:
                self._producer._sender.wakeup()
        return deliveries

    def _abort(self) -> None:
        try:
            self._await(self._producer._transaction_manager.begin_abort())
        except KafkaError:
            return  # fenced, or the broker does not answer: it aborts it, at the latest after its timeout

    def _await(self, result: Any) -> None:
        self._producer._sender.wakeup()
        if not result.wait(1_000 * REQUEST_SECONDS):
            raise KafkaTimeoutError(f"the broker did not answer within {REQUEST_SECONDS:g} s")
