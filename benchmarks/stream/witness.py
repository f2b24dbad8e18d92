"""Reads what a candidate has written, with another consumer than its own: counts, and the time of each record.

`python -m benchmarks.stream.witness WATCH` notes when each record becomes readable under `read_committed`.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaError, TopicPartition
from msgspec import Struct
from numpy.typing import NDArray

from adapters.runtime.clock import epoch_ms

_ID: Final = b"transaction-"
_ID_BYTES: Final = len(_ID) + 12
_SILENCE_SECONDS: Final = 30.0
"""Time without a record after which a witness gives up."""


class Watch(Struct, frozen=True, kw_only=True):
    """Records to read: `count` records of a topic from these offsets on, for the transactions from `first` on.

    `file` gets the time of each transaction's record, float64 milliseconds since 1970, NaN if there is none. The file
    `ready` is created when the consumer has its partitions.
    """

    bootstrap: str
    topic: str
    begin: dict[int, int]
    first: int
    count: int
    file: str
    ready: str


class Written(Struct, frozen=True, kw_only=True):
    """Counts of the records of some transactions, by an id each."""

    lost: int
    repeated: int
    degraded: int


def watch(wanted: Watch) -> NDArray[np.float64]:
    """Return the time at which the record of each transaction was readable, float64 [count]."""
    times = np.full(wanted.count, np.nan)
    consumer = _consumer(wanted.bootstrap, wanted.topic, wanted.begin)
    consumer.poll(0.2)
    Path(wanted.ready).touch()
    missing = wanted.count
    while missing:
        messages = consumer.consume(1_000, timeout=0.002)
        if not messages:
            first = consumer.poll(_SILENCE_SECONDS)
            if first is None:
                break
            messages = [first]
        now = epoch_ms()
        for message in messages:
            if message.error() is None:
                position = _number(message.value()) - wanted.first
                if 0 <= position < wanted.count and np.isnan(times[position]):
                    times[position] = now
                    missing -= 1
    consumer.close()
    return times


def count(bootstrap: str, topic: str, begin: dict[int, int], end: dict[int, int], first: int, number: int) -> Written:
    """Read the topic from `begin` to `end` and count the records of transactions `first` to `first + number - 1`."""
    consumer = _consumer(bootstrap, topic, begin)
    open_partitions = {partition for partition, offset in end.items() if offset > begin.get(partition, 0)}
    found: Counter[int] = Counter()
    degraded = 0
    while open_partitions:
        for message in consumer.consume(5_000, timeout=1.0):
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                continue
            found[_number(message.value())] += 1
            degraded += b'"degraded":true' in message.value()
    consumer.close()
    wanted = range(first, first + number)
    return Written(
        lost=sum(each not in found for each in wanted), repeated=sum(found.values()) - len(found), degraded=degraded
    )


def _consumer(bootstrap: str, topic: str, begin: dict[int, int]) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "benchmark-witness",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 5,
        }
    )
    consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in begin.items()])
    return consumer


def _number(value: bytes) -> int:
    start = value.index(_ID)
    return int(value[start + len(_ID) : start + _ID_BYTES])


def main() -> None:
    """Watch, and write the times."""
    wanted = msgspec.json.decode(sys.argv[1], type=Watch)
    watch(wanted).tofile(wanted.file)


if __name__ == "__main__":
    main()
