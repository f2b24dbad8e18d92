"""A consumer as tutorials write it: poll a record, ask a model server, produce the answer.

`python -m benchmarks.stream.naive_consumer NAIVE`. It computes no features (it sends prepared ones), has no policy, and
commits offsets by time. It runs until SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from itertools import cycle
from pathlib import Path
from threading import Event

import httpx
import msgspec
from confluent_kafka import Consumer, Producer
from msgspec import Struct

from cardwatch.events import Decision, decode
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.topics import TRANSACTIONS

ROWS = 1_000
"""Number of different rows that are sent."""


class NaiveConsumer(Struct, frozen=True, kw_only=True):
    """The server at `url` is that of `benchmarks.serving.naive_fastapi`.

    `values`: a file of decisions, whose features are sent.
    """

    bootstrap: str
    group: str
    topic: str
    url: str
    values: str


def run(naive: NaiveConsumer, stopping: Event) -> None:
    """Decide one record after another."""
    consumer = Consumer({"bootstrap.servers": naive.bootstrap, "group.id": naive.group, "auto.commit.interval.ms": 200})
    producer = Producer({"bootstrap.servers": naive.bootstrap})
    values = msgspec.msgpack.decode(Path(naive.values).read_bytes(), type=list[bytes])[:ROWS]
    rows = cycle(dict(zip(FEATURE_NAMES, decode(value, Decision).features, strict=True)) for value in values)
    consumer.subscribe([TRANSACTIONS])
    with httpx.Client() as http:
        while not stopping.is_set():
            message = consumer.poll(0.2)
            if message is None or message.error() is not None:
                continue
            answer = http.post(naive.url, json=next(rows)).raise_for_status()
            producer.produce(naive.topic, answer.content, message.key())
            producer.poll(0)
    producer.flush()
    consumer.close()


def main() -> None:
    """Run until SIGTERM."""
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    run(msgspec.json.decode(sys.argv[1], type=NaiveConsumer), stopping)


if __name__ == "__main__":
    main()
