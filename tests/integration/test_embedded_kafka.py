"""The embedded broker, for real: from jars and Java to topics and transactions, and each way in which it may refuse."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition

from adapters.kafka.confluent.connection import client_settings
from adapters.kafka.topics import broker_answers, create_topics, end_offsets, wait_for_broker
from adapters.runtime.java import find_java
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import BrokerUnavailable, JarsUnavailable, Misconfigured, PortInUse, Unavailable
from cardwatch.topics import KEYED_TOPICS
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.kafka_jars import kafka_jars, read_lock
from infra.local_stack.stack import LocalStack
from infra.local_stack.supervisor import Supervisor

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
ADDRESS = re.compile(r"Kafka listens on (\S+)")


def transactional(broker: KafkaConnection, *values: str, commit: bool) -> None:
    producer = Producer({**client_settings(broker), "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(10)
    producer.begin_transaction()
    for value in values:
        producer.produce("decisions", value.encode(), key=b"card", partition=0)
    producer.flush(10)
    if commit:
        producer.commit_transaction(10)
    else:
        producer.abort_transaction(10)


def read(broker: KafkaConnection, end: int) -> list[str]:
    """The values of partition 0 of `decisions` up to offset `end`, as `read_committed` shows them."""
    consumer = Consumer(
        {
            **client_settings(broker),
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition("decisions", 0, 0)])
    values: list[str] = []
    try:
        deadline = time.monotonic() + 30.0
        while consumer.position([TopicPartition("decisions", 0)])[0].offset < end and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                values.append(message.value().decode())
    finally:
        consumer.close()
    return values


@contextmanager
def command(home: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`cardwatch kafka` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from cli.main import main; main()", "kafka", *arguments],
        env=child_environment(Settings(home=home), **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_topics_are_made_once_and_an_aborted_transaction_stays_unseen(kafka: KafkaConnection) -> None:
    create_topics(kafka, partitions=4)
    create_topics(kafka, partitions=4)
    for topic in KEYED_TOPICS:
        assert set(end_offsets(kafka, topic)) == {0, 1, 2, 3}
    assert set(end_offsets(kafka, "progress")) == {0}

    begin = end_offsets(kafka, "decisions")[0]
    transactional(kafka, "seen", "seen too", commit=True)
    transactional(kafka, "taken back", commit=False)
    transactional(kafka, "last", commit=True)
    end = end_offsets(kafka, "decisions")[0]
    assert end - begin == 7  # four records and three markers
    assert read(kafka, end)[-3:] == ["seen", "seen too", "last"]


def test_the_committed_end_does_not_pass_an_open_transaction(kafka: KafkaConnection) -> None:
    create_topics(kafka, partitions=4)
    begin = end_offsets(kafka, "labels")[2]
    producer = Producer({**client_settings(kafka), "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce("labels", b"open", key=b"card", partition=2)
    producer.flush(10)
    assert end_offsets(kafka, "labels")[2] == begin
    assert end_offsets(kafka, "labels", read_committed=False)[2] == begin + 1
    producer.abort_transaction(10)


def test_topics_with_another_number_of_partitions_are_refused(kafka: KafkaConnection) -> None:
    create_topics(kafka, partitions=4)
    with pytest.raises(Misconfigured, match=r"topic transactions .* has 4 partitions, CARDWATCH_PARTITIONS asks for 5"):
        create_topics(kafka, partitions=5)


def test_a_topic_that_is_not_there_is_no_empty_answer(kafka: KafkaConnection) -> None:
    with pytest.raises(BrokerUnavailable, match="cannot read the end offsets of nothing at"):
        end_offsets(kafka, "nothing")


def test_a_broker_of_the_users_own_gets_the_topics_and_no_second_broker(kafka: KafkaConnection, tmp_path: Path) -> None:
    with LocalStack(Settings(home=tmp_path, kafka_bootstrap=kafka.bootstrap)) as stack:
        stack.start("kafka")
        assert stack.supervisor.names == []
        assert stack.settings.kafka == kafka
        assert len(end_offsets(kafka, "transactions")) == 4
        assert stack.settings.api_key != ""


def test_a_server_of_the_users_own_that_does_not_answer_is_named_by_its_variable(tmp_path: Path) -> None:
    [port] = free_ports(1)
    address = f"http://{LOOPBACK}:{port}"
    with (
        LocalStack(Settings(home=tmp_path, mlflow_url=address)) as stack,
        pytest.raises(Unavailable, match=f"CARDWATCH_MLFLOW_URL={address}"),
    ):
        stack.start("mlflow")


def test_a_broker_that_is_not_there_is_named_with_what_to_do() -> None:
    [port] = free_ports(1)
    address = f"{LOOPBACK}:{port}"
    assert not broker_answers(KafkaConnection(address), timeout_seconds=0.2)
    with pytest.raises(BrokerUnavailable, match=rf"{address} .*CARDWATCH_KAFKA_BOOTSTRAP"):
        wait_for_broker(KafkaConnection(address), timeout_seconds=0.3)


def test_the_command_stops_on_ctrl_c_and_the_next_start_finds_the_data(tmp_path: Path) -> None:
    with command(tmp_path) as process:
        assert process.stdout is not None
        found = ADDRESS.match(process.stdout.readline())
        assert found
        create_topics(KafkaConnection(found[1]), partitions=2)
        transactional(KafkaConnection(found[1]), "kept", commit=True)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "Kafka has stopped; its data are kept\n")

    broker = EmbeddedKafka(Settings(home=tmp_path))
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(broker.process_spec())
        assert read(broker.connection, end_offsets(broker.connection, "decisions")[0]) == ["kept"]
        with pytest.raises(Misconfigured, match="another broker uses"):
            EmbeddedKafka(Settings(home=tmp_path)).process_spec()
        with pytest.raises(PortInUse, match=broker.bootstrap.rpartition(":")[2]):
            EmbeddedKafka(Settings(home=tmp_path / "other"), port=int(broker.bootstrap.rpartition(":")[2]))


def test_a_port_in_use_is_a_message_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with command(tmp_path, "--port", str(port)) as process:
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith(f"cardwatch: port {port} on {LOOPBACK}")
    assert "Traceback" not in errors


def test_a_first_start_without_a_network_is_a_message_and_status_1(tmp_path: Path) -> None:
    [port] = free_ports(1)
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "jgo.conf").write_text(f"[repositories]\nnowhere = http://{LOOPBACK}:{port}/maven\n")
    with command(tmp_path, HOME=str(tmp_path), M2_REPO=str(tmp_path / "cache")) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "fetching 47 of Kafka's 47 jars (once)" in errors
    assert f"cardwatch: Kafka's jar {read_lock()[0].coordinates} is not in the Maven cache" in errors
    assert "CARDWATCH_KAFKA_BOOTSTRAP" in errors
    assert "Traceback" not in errors


def test_a_damaged_jar_is_named_and_left_alone(tmp_path: Path) -> None:
    jars = read_lock()
    for jar, path in zip(jars, kafka_jars(), strict=True):
        (tmp_path / jar.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / jar.path).symlink_to(path)
    assert kafka_jars(cache=tmp_path) == [tmp_path / jar.path for jar in jars]
    damaged = tmp_path / jars[3].path
    damaged.unlink()
    damaged.write_bytes(b"PK\x03\x04 half a download")
    with pytest.raises(JarsUnavailable, match=re.escape(f"{jars[3].coordinates} is damaged: {damaged}")):
        kafka_jars(cache=tmp_path)


def test_a_java_that_is_none_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="CARDWATCH_JAVA='no-such-java' is not an executable"):
        find_java("no-such-java")
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    with pytest.raises(Misconfigured, match="is Java 11; Kafka needs 17 or later"):
        find_java(str(old))


def test_the_wheels_java_is_found_without_being_named() -> None:
    java = find_java()
    assert java.major >= 17
    assert os.access(java.path, os.X_OK)


def health_check(port: int) -> subprocess.CompletedProcess[str]:
    """Run Kafka's health check of the compose file for a broker at this port of this machine."""
    kind, *command = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [part.replace("9092", str(port)) for part in command]
    return subprocess.run(command, capture_output=True, text=True, timeout=30.0, check=False)


def test_the_health_check_of_the_compose_file_passes_for_a_running_broker(kafka: KafkaConnection) -> None:
    result = health_check(int(kafka.bootstrap.rpartition(":")[2]))
    assert result.returncode == 0, result.stderr


def test_the_health_check_fails_for_a_broker_that_accepts_connections_but_does_not_respond() -> None:
    with socket.create_server((LOOPBACK, 0)) as hanging:
        assert health_check(hanging.getsockname()[1]).returncode != 0


def test_the_health_check_fails_for_a_broker_that_does_not_listen() -> None:
    result = health_check(free_ports(1)[0])
    assert result.returncode != 0
    assert "Connection refused" in result.stderr
