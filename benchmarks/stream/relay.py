"""A bare transactional relay, the floor of the stream worker: `python -m benchmarks.stream.relay RELAY`.

It reads transactions, and writes for each one a prepared value of a decision's size, with the offsets in one Kafka
transaction per batch. It decodes nothing and has no features, model or policy. It runs until SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from itertools import cycle
from pathlib import Path
from threading import Event
from typing import Final

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec import Struct

from cardwatch.topics import TRANSACTIONS

ID: Final = slice(19, 43)
"""Where the id is in a transaction of `benchmarks.stream.topic_writer`. It is put in front of the prepared value, so
that a reader can tell the latency of each record."""
BATCH: Final = 2_000
"""Maximum number of records of a transaction, as in the stream worker."""
_TIMEOUT_SECONDS: Final = 30.0


class Relay(Struct, frozen=True, kw_only=True):
    """A relay in the consumer group `group`. `values`: a file with the values that it writes to `topic`, in turn."""

    bootstrap: str
    group: str
    topic: str
    values: str


def run(relay: Relay, stopping: Event) -> None:
    """Relay with confluent-kafka, with the settings of the stream worker."""
    consumer = Consumer(
        {
            "bootstrap.servers": relay.bootstrap,
            "group.id": relay.group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": relay.bootstrap,
            "transactional.id": relay.group,
            "compression.type": "lz4",
            "linger.ms": 0,
            "retry.backoff.ms": 1,
            "queue.buffering.max.messages": 500_000,
        }
    )
    values = cycle(msgspec.msgpack.decode(Path(relay.values).read_bytes(), type=list[bytes]))
    producer.init_transactions(_TIMEOUT_SECONDS)
    consumer.subscribe([TRANSACTIONS])
    while not stopping.is_set():
        first = consumer.poll(0.2)
        if first is None or first.error() is not None:
            continue
        producer.begin_transaction()
        positions: dict[int, int] = {}
        for message in (first, *consumer.consume(BATCH - 1, timeout=0)):
            if message.error() is None:
                partition = message.partition()
                positions[partition] = message.offset() + 1
                producer.produce(relay.topic, message.value()[ID] + next(values), message.key(), partition)
        producer.send_offsets_to_transaction(
            [TopicPartition(TRANSACTIONS, partition, offset) for partition, offset in positions.items()],
            consumer.consumer_group_metadata(),
            _TIMEOUT_SECONDS,
        )
        producer.commit_transaction(_TIMEOUT_SECONDS)
    consumer.close()


def main() -> None:
    """Run until SIGTERM."""
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    run(msgspec.json.decode(sys.argv[1], type=Relay), stopping)


if __name__ == "__main__":
    main()
