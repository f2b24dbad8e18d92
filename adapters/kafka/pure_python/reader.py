"""A reader of the log, with kafka-python."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, RetriableError

from adapters.kafka.pure_python.connection import Connections, consumer_settings, failed, to_record
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.records import Record

_SLICE_SECONDS: Final = 0.05
"""Time after which a poll without records returns if it has passed control records: a caller may wait for the end."""


class PurePythonReader:
    """A consumer with assigned partitions and without a group."""

    def __init__(self, broker: KafkaConnection, positions: Mapping[tuple[str, int], int]) -> None:
        # An offset that the topic does not hold is an error, as with the other client.
        self._consumer = KafkaConsumer(**consumer_settings(broker, Connections(broker)), auto_offset_reset="none")
        self._places = {place: TopicPartition(*place) for place in positions}
        self._consumer.assign(list(self._places.values()))
        for place, offset in positions.items():
            if offset:
                self._consumer.seek(self._places[place], offset)
            else:
                self._consumer.seek_to_beginning(self._places[place])

    def poll(self, timeout_seconds: float, limit: int) -> list[Record]:
        """Return at most `limit` new records."""
        deadline = time.monotonic() + timeout_seconds
        before = self._positions()
        while True:
            remaining = max(deadline - time.monotonic(), 0.0)
            try:
                polled = self._consumer.poll(int(1_000 * min(remaining, _SLICE_SECONDS)), max_records=limit)
            except RetriableError:
                polled = {}
            except KafkaError as error:
                raise failed(error) from error
            if polled:
                return [to_record(record) for records in polled.values() for record in records]
            if remaining <= _SLICE_SECONDS or self._positions() != before:
                return []

    def position(self, topic: str, partition: int) -> int | None:
        """Return the offset before which every committed record was returned."""
        place = self._places.get((topic, partition))
        return None if place is None else self._offset(place)

    def known_end(self, topic: str, partition: int) -> int | None:
        """Return the end as of the newest fetch, which includes records of open transactions."""
        place = self._places.get((topic, partition))
        end: int | None = None if place is None else self._consumer.highwater(place)
        return end

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False)

    def _positions(self) -> list[int | None]:
        return [self._offset(place) for place in self._places.values()]

    def _offset(self, place: TopicPartition) -> int | None:
        # KafkaConsumer.position() would ask the broker for positions that are not known yet.
        position = self._consumer._subscription.assignment[place].position
        return None if position is None else int(position.offset)
