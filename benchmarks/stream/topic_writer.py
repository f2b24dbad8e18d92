"""Writes transactions to the topic: `python -m benchmarks.stream.topic_writer ORDER` takes an `Order` as JSON.

All records are encoded before the first is sent, so that sending costs little beside the measured processes. With a
`rate` they are sent at predetermined times, at most a millisecond's worth at once; without one, as fast as the broker
accepts them. A batch waits `linger_ms` for further records. Each has the header `traceparent`, if it is given. At the
end the send times are written to `times`, float64 milliseconds since 1970 in the order of the ids.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Producer
from msgspec import Struct, structs

from adapters.runtime.clock import epoch_ms
from benchmarks.serving.fixture import CARDS, TRANSACTION_DAY
from benchmarks.transactions import random_transactions
from cardwatch.events import encode, from_epoch_ms
from cardwatch.features.reference_table import DAY_MS
from cardwatch.topics import TRANSACTIONS

DISTINCT: Final = 20_000
"""Number of transactions that differ in more than id and time."""


class Order(Struct, frozen=True, kw_only=True):
    """Transactions to write: `first` to `first + count - 1`. Ids are unique over all orders of one benchmark."""

    bootstrap: str
    first: int
    count: int
    rate: float | None = None
    linger_ms: int = 0
    traceparent: str = ""
    times: str = ""


def transaction_id(number: int) -> str:
    """Return the id of a transaction, from which a reader of decisions finds its send time."""
    return f"transaction-{number:012d}"


def write(order: Order) -> None:
    """Write the transactions of an order, and wait until the broker has all of them."""
    records = _encoded(order)
    producer = Producer(
        {
            "bootstrap.servers": order.bootstrap,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": order.linger_ms,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    times = np.empty(order.count)
    headers = {"headers": [("traceparent", order.traceparent.encode())]} if order.traceparent else {}
    begin = time.perf_counter()
    for position, (key, value) in enumerate(records):
        if order.rate is not None and (ahead := position / order.rate - (time.perf_counter() - begin)) > 0.001:
            time.sleep(ahead)
        times[position] = epoch_ms()
        while True:
            try:
                producer.produce(TRANSACTIONS, value, key, **headers)
                break
            except BufferError:
                producer.poll(0.05)
        if not position % 100:
            producer.poll(0)
    if producer.flush(60.0):
        sys.exit("the broker has not accepted all transactions within 60 s")
    if order.times:
        times.tofile(order.times)


def _encoded(order: Order) -> list[tuple[bytes, bytes]]:
    """Return keys and values. Event times are evenly spread over one day, hence in order within a card."""
    bases = random_transactions(min(DISTINCT, order.count), CARDS, seed=order.first + 1)
    return [
        (
            (base := bases[i % len(bases)]).card_id.encode(),
            encode(
                structs.replace(
                    base,
                    transaction_id=transaction_id(order.first + i),
                    occurred_at=from_epoch_ms(TRANSACTION_DAY * DAY_MS + i * DAY_MS // order.count),
                )
            ),
        )
        for i in range(order.count)
    ]


if __name__ == "__main__":
    write(msgspec.json.decode(sys.argv[1], type=Order))
