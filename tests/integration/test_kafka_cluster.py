"""Three real brokers: what they replicate, and what the loss of one, of two and of the controller means."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Producer

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import commit_offsets
from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import create_topics, end_offsets
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import BrokerUnavailable
from cardwatch.topics import DECISIONS, KEYED_TOPICS, LABELS, PROGRESS, TRANSACTIONS
from infra.local_stack.kafka_cluster import KafkaCluster
from infra.local_stack.supervisor import Supervisor
from tests.integration.replicas import Replicas, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PARTITIONS = 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    home = tmp_path_factory.mktemp("cluster")
    with Supervisor(home) as supervisor:
        brokers = KafkaCluster(Settings(home=home), supervisor)
        brokers.start()
        create_topics(brokers.connection, partitions=PARTITIONS)
        yield brokers


@pytest.fixture
def replicas(cluster: KafkaCluster) -> Iterator[Replicas]:
    """The replicas, all in sync before the test and after it, whatever the test before has left."""
    if missing := [number for number in (1, 2, 3) if number not in cluster.running]:
        cluster.start(*missing)
    found = Replicas(cluster)
    found.await_in_sync()
    yield found


def write(broker: KafkaConnection, topic: str, values: list[str]) -> None:
    writer = LogWriter(broker)
    for value in values:
        writer.write(topic, value, value.encode())
    writer.flush(60.0)


def write_in_transaction(broker: KafkaConnection, topic: str, values: list[str]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": uuid.uuid4().hex, "log_level": 0})
    producer.init_transactions(60)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value.encode(), value.encode())
    producer.commit_transaction(60)


def read(broker: KafkaConnection, topic: str) -> Counter[str]:
    """How often each value is among the committed records of the topic."""
    # A commit returns before its markers are in the partitions: what it wrote is before these ends already.
    ends = end_offsets(broker, topic, read_committed=False)
    found: Counter[str] = Counter()
    with LogReader(broker, {(topic, partition): 0 for partition in ends}) as reader:

        def is_read() -> bool:
            found.update((record.value or b"").decode() for record in reader.poll(0.2))
            return all(reader.reached(topic, partition) >= end for partition, end in ends.items())

        until(is_read, f"{topic} is read")
    return found


@contextmanager
def command(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`cardwatch kafka` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "kafka", *arguments],
        env=child_environment(Settings(home=home)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def once(*values: str) -> Counter[str]:
    return Counter(values)


def test_every_topic_is_on_all_brokers_and_two_must_have_a_record(cluster: KafkaCluster, replicas: Replicas) -> None:
    write_in_transaction(cluster.connection, LABELS, ["a", "b"])
    assert read(cluster.connection, LABELS) == once("a", "b")
    commit_offsets(cluster.connection, "a-group", LABELS, {0: 1})
    topics = {*KEYED_TOPICS, PROGRESS, "__consumer_offsets", "__transaction_state"}
    assert replicas.numbers() == {topic: {3} for topic in topics}
    assert {topic: replicas.min_in_sync(topic) for topic in topics} == dict.fromkeys(topics, 2)
    assert cluster.controller() in (1, 2, 3)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_without_one_broker_records_and_transactions_are_written_and_nothing_is_lost(
    cluster: KafkaCluster, replicas: Replicas, number: int
) -> None:
    values = [f"{number}-{index}" for index in range(30)]
    write(cluster.connection, TRANSACTIONS, values[:10])
    was_controller = cluster.controller() == number
    cluster.kill(number)
    assert cluster.running == [each for each in (1, 2, 3) if each != number]
    write(cluster.connection, TRANSACTIONS, values[10:20])
    write_in_transaction(cluster.connection, TRANSACTIONS, values[20:])
    before = read(cluster.connection, TRANSACTIONS)
    assert {value: before[value] for value in values} == once(*values)
    if was_controller:
        until(lambda: cluster.controller() is not None, "another controller is elected")
        assert cluster.controller() != number
    cluster.start(number)
    replicas.await_in_sync()
    assert read(cluster.connection, TRANSACTIONS) == before


def test_another_controller_is_elected_when_it_is_killed(cluster: KafkaCluster, replicas: Replicas) -> None:
    before = cluster.controller()
    assert before is not None
    cluster.kill(before)
    until(lambda: cluster.controller() not in (None, before), "another controller is elected")
    # It works: only the active controller creates topics.
    name = f"made-{uuid.uuid4().hex}"
    assert replicas.create(name) == 3
    cluster.start(before)


def test_without_two_brokers_writes_fail_with_the_reason_and_nothing_that_was_accepted_is_lost(
    cluster: KafkaCluster, replicas: Replicas
) -> None:
    accepted = [f"accepted-{index}" for index in range(50)]
    write(cluster.connection, DECISIONS, accepted)
    cluster.kill(1, 2)
    writer = LogWriter(cluster.connection, delivery_timeout_ms=4_000)
    for index in range(10):
        writer.write(DECISIONS, str(index), f"refused-{index}".encode())
    with pytest.raises(BrokerUnavailable) as refused:
        writer.flush(20.0)
    writer.close()
    lost = f"2 of 3 brokers accept no connection: {cluster.address(1)} (connection refused), {cluster.address(2)} "
    assert lost in str(refused.value)
    assert "min.insync.replicas" in str(refused.value)
    cluster.start(1, 2)
    replicas.await_in_sync()
    write(cluster.connection, DECISIONS, ["afterwards"])
    found = read(cluster.connection, DECISIONS)
    assert {value: found[value] for value in [*accepted, "afterwards"]} == once(*accepted, "afterwards")
    # A record that was given up may have been on its way: it is there once or not at all.
    assert all(found[f"refused-{index}"] <= 1 for index in range(10))
    assert set(found) <= {*accepted, "afterwards", *(f"refused-{index}" for index in range(10))}


def test_a_rolling_restart_under_traffic_loses_and_repeats_nothing(cluster: KafkaCluster, replicas: Replicas) -> None:
    before = read(cluster.connection, LABELS)
    stopping, sent = Event(), []

    def produce() -> None:
        writer = LogWriter(cluster.connection)
        while not stopping.wait(0.005):
            value = f"rolling-{len(sent)}"
            writer.write(LABELS, value, value.encode())
            sent.append(value)
        writer.flush(60.0)

    traffic = Thread(target=produce)
    traffic.start()
    try:
        for number in (1, 2, 3):
            cluster.restart(number)
            replicas.await_in_sync()
    finally:
        stopping.set()
        traffic.join(timeout=120)
    assert len(sent) > 500
    assert read(cluster.connection, LABELS) - before == once(*sent)


def test_the_command_restarts_a_killed_broker_and_keeps_the_data(tmp_path: Path) -> None:
    with command(tmp_path, "--brokers", "3") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        addresses = re.match(r"Kafka listens on (\S+) ", process.stdout.readline())
        assert addresses
        kafka = KafkaConnection(addresses[1])
        lines = [process.stdout.readline() for _ in range(3)]
        found = [re.fullmatch(r"kafka-(\d): process (\d+) at (\S+)\n", line) for line in lines]
        assert [each[1] for each in found if each] == ["1", "2", "3"]
        assert ",".join(each[3] for each in found if each) == addresses[1]
        create_topics(kafka, partitions=2)
        write(kafka, LABELS, ["kept"])
        assert found[1]
        os.kill(int(found[1][2]), signal.SIGKILL)
        assert process.stderr.readline() == "kafka-2 was killed by signal 9; it is restarted in 1 s\n"
        restarted = re.fullmatch(
            r"kafka-2 had ended and was started again as process (\d+)\n", process.stderr.readline()
        )
        assert restarted
        assert restarted[1] != found[1][2]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "Kafka has stopped; its data are kept\n")
    with command(tmp_path) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "holds the data of several brokers, which 1 cannot use" in errors
    with Supervisor(tmp_path) as supervisor:
        again = KafkaCluster(Settings(home=tmp_path), supervisor)
        again.start()
        assert read(again.connection, LABELS) == once("kept")
