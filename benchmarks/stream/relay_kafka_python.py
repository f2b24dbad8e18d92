"""The relay of `benchmarks.stream.relay` with kafka-python, as its documentation shows it."""

from __future__ import annotations

import signal
import sys
from itertools import cycle
from pathlib import Path
from threading import Event

import msgspec
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata

from benchmarks.stream.relay import BATCH, ID, Relay
from cardwatch.topics import TRANSACTIONS


def run(relay: Relay, stopping: Event) -> None:
    """Relay with the settings of the stream worker."""
    consumer = KafkaConsumer(
        TRANSACTIONS,
        bootstrap_servers=relay.bootstrap,
        group_id=relay.group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        metrics_enabled=False,
    )
    producer = KafkaProducer(
        bootstrap_servers=relay.bootstrap,
        transactional_id=relay.group,
        compression_type="lz4",
        linger_ms=0,
        retry_backoff_ms=1,
        metrics_enabled=False,
    )
    values = cycle(msgspec.msgpack.decode(Path(relay.values).read_bytes(), type=list[bytes]))
    producer.init_transactions()
    while not stopping.is_set():
        polled = consumer.poll(timeout_ms=200, max_records=BATCH)
        if not polled:
            continue
        producer.begin_transaction()
        for place, records in polled.items():
            for record in records:
                producer.send(relay.topic, record.value[ID] + next(values), key=record.key, partition=place.partition)
        offsets = {place: OffsetAndMetadata(records[-1].offset + 1, "", -1) for place, records in polled.items()}
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.commit_transaction()
    consumer.close(autocommit=False)


def main() -> None:
    """Run until SIGTERM."""
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    run(msgspec.json.decode(sys.argv[1], type=Relay), stopping)


if __name__ == "__main__":
    main()
