"""What readers, writers and administration need of each Kafka client, on a real broker."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from kafka import KafkaProducer
from msgspec import structs

from adapters.kafka.confluent.connection import client_settings
from adapters.kafka.consumer import LogReader
from adapters.kafka.library import other_client
from adapters.kafka.offsets import OffsetReader, commit_offsets
from adapters.kafka.producer import NO_TIMEOUT_MS, LogWriter
from adapters.kafka.topics import broker_answers, create_topics, end_offsets, wait_for_broker
from adapters.runtime.kafka_connection import KafkaClient, KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings
from cardwatch.errors import BrokerUnavailable, Misconfigured
from cardwatch.partitioning import Partitioner, Partitioning
from cardwatch.records import Record
from cardwatch.topics import LABELS
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import Supervisor

PARTITIONS = 3
SECONDS = 30.0
"""Deadline of what takes some tenths of a second on an idle machine."""


@pytest.fixture(params=KafkaClient)
def broker(kafka: KafkaConnection, request: pytest.FixtureRequest) -> KafkaConnection:
    """The broker, reached with each client."""
    return structs.replace(kafka, client=request.param)


@pytest.fixture
def topic(kafka: KafkaConnection) -> str:
    """A new topic."""
    name = f"topic-{uuid.uuid4().hex}"
    admin = AdminClient(client_settings(kafka))
    admin.create_topics([NewTopic(name, PARTITIONS, 1, config={"max.message.bytes": "1048588"})])[name].result(SECONDS)
    return name


@contextmanager
def transaction(broker: KafkaConnection, topic: str, *values: bytes) -> Iterator[Producer]:
    """An open transaction with these values in partition 0, which is aborted at the end."""
    producer = Producer({**client_settings(broker), "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, b"key", 0)
    producer.flush(SECONDS)
    yield producer
    producer.abort_transaction(SECONDS)


def read(reader: LogReader, topic: str, ends: dict[int, int]) -> list[Record]:
    """All records up to the ends. A poll that waits for records must return early once it has passed the last one."""
    found, begin = [], time.monotonic()
    while any(reader.reached(topic, partition) < end for partition, end in ends.items()):
        assert time.monotonic() - begin < SECONDS
        found += reader.poll(2 * SECONDS)
    assert time.monotonic() - begin < SECONDS
    return found


def values(records: Sequence[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def test_records_are_read_from_given_positions_to_the_end(broker: KafkaConnection, topic: str) -> None:
    producer = Producer(client_settings(broker))
    for number in range(10):
        producer.produce(topic, b"%d" % number, b"key", 1, timestamp=1_700_000_000_000 + number)
    producer.produce(topic, None, b"key", 2)
    producer.produce(topic, b"without a key", None, 2)
    producer.flush(SECONDS)
    with LogReader(broker, {(topic, 0): 0, (topic, 1): 7, (topic, 2): 0}) as reader:
        assert [reader.reached(topic, partition) for partition in range(4)] == [0, 7, 0, 0]
        found = read(reader, topic, {0: 0, 1: 10, 2: 2})
        assert reader.reached(topic, 1) == reader.end(topic, 1) == 10
        assert reader.poll(0.0) == []
    assert [record for record in found if record.partition == 1] == [
        Record(topic, 1, number, 1_700_000_000_000 + number, b"key", b"%d" % number) for number in (7, 8, 9)
    ]
    rest = [record for record in found if record.partition == 2]
    assert [(record.key, record.value) for record in rest] == [(b"key", None), (None, b"without a key")]


def test_the_trace_context_of_a_record_is_written_and_read_and_other_headers_are_left_out(
    broker: KafkaConnection, topic: str
) -> None:
    context = [("traceparent", b"00-1-2-01"), ("tracestate", b"vendor=1")]
    writer = LogWriter(broker)
    writer.write(topic, "card", b"with", [*context, ("other", b"x")])
    writer.write(topic, "card", b"without")
    writer.flush()
    writer.close()
    with LogReader(broker, {(topic, partition): 0 for partition in range(PARTITIONS)}) as reader:
        found = {record.value: list(record.headers) for record in read(reader, topic, end_offsets(broker, topic))}
    assert found == {b"with": context, b"without": []}


class NotUtf8(str):
    """The name of a header as a producer in another language may write it."""

    def encode(self, *_: object) -> bytes:  # type: ignore[override]
        return b"\xff\xfe"


def test_headers_of_others_do_not_end_a_reader(broker: KafkaConnection, topic: str) -> None:
    names = KafkaProducer(bootstrap_servers=broker.bootstrap)
    odd_names = [(NotUtf8("name"), b"value"), ("", b""), ("traceparent", b"\xff"), ("x" * 5_000, b"y")]
    no_values = Producer(client_settings(broker))
    for number in range(20):  # Python specializes a call that is repeated
        names.send(topic, b"names-%d" % number, headers=odd_names, partition=0).get(SECONDS)
        no_values.produce(topic, b"none-%d" % number, None, 0, headers=[("traceparent", None), ("tracestate", b"")])
        assert no_values.flush(SECONDS) == 0
    names.close()
    with LogReader(broker, {(topic, 0): 0}) as reader:
        found = read(reader, topic, {0: end_offsets(broker, topic)[0]})
    assert values(found) == [b"%b-%d" % (kind, number) for number in range(20) for kind in (b"names", b"none")]
    assert list(found[1].headers) == [("tracestate", b"")]


def test_a_read_returns_no_more_records_than_the_limit(broker: KafkaConnection, topic: str) -> None:
    producer = Producer(client_settings(broker))
    for number in range(25):
        producer.produce(topic, b"%d" % number, b"key", number % 2)
    producer.flush(SECONDS)
    with LogReader(broker, {(topic, 0): 0, (topic, 1): 0}) as reader:
        found: list[Record] = []
        begin = time.monotonic()
        while len(found) < 25:
            assert time.monotonic() - begin < SECONDS
            polled = reader.poll(1.0, limit=4)
            assert len(polled) <= 4
            found += polled
            assert reader.reached(topic, 0) + reader.reached(topic, 1) == len(found)
    for partition in (0, 1):
        mine = [record for record in found if record.partition == partition]
        assert values(mine) == [b"%d" % number for number in range(partition, 25, 2)]


def test_aborted_and_open_transactions_are_not_seen_and_markers_are_passed(broker: KafkaConnection, topic: str) -> None:
    with transaction(broker, topic, b"seen", b"seen too") as producer:
        producer.commit_transaction(SECONDS)
        producer.begin_transaction()
    with transaction(broker, topic, b"taken back", b"taken back too"):
        pass
    assert end_offsets(broker, topic)[0] == 6  # four records and two markers
    with LogReader(broker, {(topic, 0): 0}) as reader:
        assert values(read(reader, topic, {0: 6})) == [b"seen", b"seen too"]
        assert reader.lag(topic) == 0
        with transaction(broker, topic, b"open"):
            assert end_offsets(broker, topic) == {0: 6, 1: 0, 2: 0}
            assert end_offsets(broker, topic, read_committed=False) == {0: 7, 1: 0, 2: 0}
            assert reader.poll(0.3) == []
            assert (reader.reached(topic, 0), reader.end(topic, 0)) == (6, 6)
        assert values(read(reader, topic, {0: 8})) == []


def test_the_lag_is_what_is_not_read_yet(broker: KafkaConnection, topic: str) -> None:
    producer = Producer(client_settings(broker))
    for number in range(30):
        producer.produce(topic, b"%d" % number, b"key", number % 2)
    producer.flush(SECONDS)
    with LogReader(broker, {(topic, 0): 5, (topic, 1): 0}) as reader:
        begin, found = time.monotonic(), 0
        while reader.lag(topic) != 25 - found or not found:
            assert time.monotonic() - begin < SECONDS
            found += len(reader.poll(1.0, limit=1))
        assert reader.lag("another") == 0


def test_an_offset_that_the_topic_does_not_hold_is_told(broker: KafkaConnection, topic: str) -> None:
    with LogReader(broker, {(topic, 0): 1_000}) as reader, pytest.raises(BrokerUnavailable, match="reading the log: "):
        begin = time.monotonic()
        while time.monotonic() - begin < SECONDS:
            reader.poll(0.5)


def test_offsets_of_a_group_are_committed_and_read(broker: KafkaConnection, topic: str) -> None:
    group = f"group-{uuid.uuid4().hex}"
    commit_offsets(broker, group, topic, {0: 7, 2: 0})
    for reached_by in (broker, other_client(broker)):
        with closing(OffsetReader(reached_by, group)) as offsets:
            assert offsets.committed(topic, [0, 1, 2]) == {0: 7, 2: 0}
            assert offsets.end(topic, 0) == 0
    with closing(OffsetReader(broker, f"group-{uuid.uuid4().hex}")) as offsets:
        assert offsets.committed(topic, [0, 1, 2]) == {}


@pytest.mark.parametrize("partitioner", Partitioner)
def test_a_key_has_the_same_partition_with_both_clients_and_its_records_stay_in_order(
    kafka: KafkaConnection, topic: str, partitioner: Partitioner
) -> None:
    keys = [*(f"card-{number}" for number in range(40)), "ä", "x" * 300]
    for client in KafkaClient:
        writer = LogWriter(structs.replace(kafka, client=client), partitioner=partitioner)
        for number in range(3):
            for key in keys:
                writer.write(topic, key, f"{client} {number}".encode())
        writer.flush()
        assert (writer.delivered, writer.pending, writer.has_failed) == (3 * len(keys), 0, False)
        writer.close()
    known = Partitioner.MURMUR2 if partitioner is Partitioner.UNCHECKED else partitioner
    expected = Partitioning(known, PARTITIONS)
    for client in KafkaClient:
        with LogReader(structs.replace(kafka, client=client), {(topic, p): 0 for p in range(PARTITIONS)}) as reader:
            found = read(reader, topic, end_offsets(kafka, topic))
        by_key = {key: [record for record in found if record.key == key.encode()] for key in keys}
        for key, records in by_key.items():
            assert {record.partition for record in records} == {expected.partition_of(key.encode())}
            assert values(records) == [f"{writer} {number}".encode() for writer in KafkaClient for number in range(3)]


def test_a_record_that_the_broker_refuses_is_a_failure_of_the_writer(broker: KafkaConnection, topic: str) -> None:
    with closing(LogWriter(broker)) as writer:
        writer.write(topic, "key", b"small")
        writer.flush()
        writer.write(topic, "key", bytes(3_000_000))
        with pytest.raises(BrokerUnavailable, match=r"a record could not be written: (?i:.*(size|large))"):
            writer.flush(SECONDS)
        assert writer.has_failed
        assert (writer.delivered, writer.pending) == (1, 0)


@pytest.mark.parametrize("client", KafkaClient)
def test_a_broker_that_is_not_there_is_told_within_the_timeouts(client: KafkaClient) -> None:
    broker = KafkaConnection(f"{LOOPBACK}:{free_ports(1)[0]}", client=client)
    begin = time.monotonic()
    assert not broker_answers(broker, timeout_seconds=0.2)
    with pytest.raises(BrokerUnavailable, match=r"connection refused\. Start it, or correct .*BOOTSTRAP"):
        wait_for_broker(broker, 0.5)
    with closing(LogWriter(broker)) as writer:
        for _ in range(3):
            writer.write(LABELS, "key", b"value")
        with pytest.raises(
            BrokerUnavailable, match=rf"^3 records were not taken by the broker at {broker} within 0.5 s"
        ):
            writer.flush(0.5)
        assert (writer.delivered, writer.pending, writer.has_failed) == (0, 3, False)
    with LogReader(broker, {(LABELS, 0): 0}) as reader:
        assert reader.poll(0.2) == []
    assert time.monotonic() - begin < SECONDS


@pytest.mark.long  # starts a broker
def test_records_that_were_written_before_the_broker_is_there_arrive_in_order(tmp_path: Path) -> None:
    server = EmbeddedKafka(Settings(home=tmp_path))
    writers = {
        client: LogWriter(structs.replace(server.connection, client=client), delivery_timeout_ms=NO_TIMEOUT_MS)
        for client in KafkaClient
    }
    for client, writer in writers.items():
        for number in range(200):
            writer.write(LABELS, client, b"%d" % number)
        with pytest.raises(BrokerUnavailable):
            writer.flush(1.0)
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(server.process_spec())
        create_topics(server.connection, partitions=2)
        for writer in writers.values():
            writer.flush(SECONDS)
            assert (writer.delivered, writer.pending) == (200, 0)
        with LogReader(server.connection, {(LABELS, 0): 0, (LABELS, 1): 0}) as reader:
            found = read(reader, LABELS, end_offsets(server.connection, LABELS))
        for client in KafkaClient:
            mine = [record for record in found if record.key == client.encode()]
            assert values(mine) == [b"%d" % number for number in range(200)]
        for writer in writers.values():
            writer.close()


def test_topics_are_created_once_and_another_number_of_partitions_is_refused(broker: KafkaConnection) -> None:
    create_topics(broker, partitions=4)
    create_topics(broker, partitions=4)
    assert set(end_offsets(broker, LABELS)) == {0, 1, 2, 3}
    wait_for_broker(broker, SECONDS)
    with pytest.raises(Misconfigured, match=r"topic transactions .* has 4 partitions, CARDWATCH_PARTITIONS asks for 5"):
        create_topics(broker, partitions=5)
    with pytest.raises(BrokerUnavailable, match=r"end offsets of nothing at .*: there is no such topic\. Every "):
        end_offsets(broker, "nothing")


def test_a_topic_that_accepts_only_small_batches_is_refused(broker: KafkaConnection) -> None:
    create_topics(broker, partitions=4)
    limited(broker, "1000")
    try:
        with pytest.raises(Misconfigured, match=r"topic labels at .* accepts batches of 1,000 bytes, 1,000,000 are"):
            create_topics(broker, partitions=4)
    finally:
        limited(broker, "1048588")


def limited(broker: KafkaConnection, value: str) -> None:
    """Set the limit of the topic `labels`."""
    entry = ConfigEntry("max.message.bytes", value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, LABELS, incremental_configs=[entry])
    admin = AdminClient(client_settings(broker))
    [done] = admin.incremental_alter_configs([resource]).values()
    done.result(SECONDS)


@pytest.mark.parametrize(
    ("client", "package", "other"),
    [("confluent-kafka", "confluent_kafka", "kafka"), ("kafka-python", "kafka", "confluent_kafka")],
)
def test_a_process_imports_the_chosen_client_only(client: str, package: str, other: str) -> None:
    code = f"""
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] != {other!r}, name + " is imported"

sys.meta_path.insert(0, Blocked())
for service in ("generator", "stream", "archive", "monitor"):
    importlib.import_module("services." + service + ".__main__")
from adapters.kafka import library, offsets, consumer, producer, transactional_log
from adapters.runtime.settings import read_settings
broker = read_settings({{"CARDWATCH_KAFKA_BOOTSTRAP": "{LOOPBACK}:1", "CARDWATCH_KAFKA_CLIENT": {client!r}}}).kafka
producer.LogWriter(broker).close()
consumer.LogReader(broker, {{("labels", 0): 0}}).close()
assert not library.library_of(broker).administration(broker).brokers(0.1)
print(sorted({{"confluent_kafka", "kafka"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert (done.stdout, done.returncode) == (f"['{package}']\n", 0), done.stderr
