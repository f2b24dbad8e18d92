"""The embedded broker: Apache Kafka with one node, broker and controller, on the loopback interface.

`infra.local_stack.kafka_cluster` has several of them.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from adapters.kafka.topics import broker_answers
from adapters.runtime.java import find_java
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports, require_free
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import Misconfigured
from infra.local_stack.kafka_jars import kafka_jars
from infra.local_stack.supervisor import ProcessSpec
from infra.reporting import Report

_LOG4J: Final = Path(__file__).with_name("log4j2.properties")

HEAP_MEGABYTES: Final = 384
"""Heap of the broker in MB: 350 MB are resident after the start, and 440 under load."""
READY_WITHIN_SECONDS: Final = 120.0
"""Time for the start. Three to four seconds are usual; with a load of 14 on two cores three brokers took 65."""
_JVM: Final = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # C1 only: a broker that runs for minutes does not profit from C2
    "-Xshare:auto",
    f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}",
)

_BROKER: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # One node, hence one replica.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fewer partitions mean fewer files to create at the first start.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "log.cleaner.dedupe.buffer.size": "8388608",
    # No delays: consumer groups do not wait for more members, nor commits for a batch, nor a transaction for the
    # completion of the previous one.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.coordinator.append.linger.ms": "0",
    "add.partitions.to.txn.retry.backoff.ms": "1",
    # The open transaction of a dead worker blocks read_committed consumers until its timeout is noticed.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "auto.create.topics.enable": "false",
    # The log is the source of truth: records are not deleted by age.
    "log.retention.ms": "-1",
}


class EmbeddedKafka:
    """One broker with persistent data in `settings.home/kafka`. A `Supervisor` starts its `process_spec`.

    With `port` 0 the system chooses a port; another port that is in use raises `PortInUse`.
    """

    name = "kafka"
    heap_megabytes = HEAP_MEGABYTES
    ready_within_seconds = READY_WITHIN_SECONDS

    def __init__(self, settings: Settings, *, port: int = 0, report: Report = lambda _: None) -> None:
        self._settings = settings
        self._folder = self._choose_folder(settings.home.absolute() / "kafka")
        self._data = self._folder / "data"
        chosen, self._controller_port = free_ports(2)
        self._port = require_free(port, "the embedded Kafka broker") if port else chosen
        self._report = report

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def connection(self) -> KafkaConnection:
        """How clients reach it: neither encrypted nor with a login."""
        return KafkaConnection(self.bootstrap, client=self._settings.kafka_client)

    def process_spec(self) -> ProcessSpec:
        """Return how to start the broker, after fetching missing jars and formatting a new data folder.

        Raises `JarsUnavailable`, and `Misconfigured` if no Java is found, another broker uses the same data, or the
        data are those of another number of brokers.
        """
        self._require_own_data()
        java = find_java(self._settings.java)
        jars = kafka_jars(report=self._report)
        self._refuse_second_broker()
        heap = f"-Xmx{self.heap_megabytes}m"
        command = [str(java.path), *java.flags, heap, *_JVM, "-cp", os.pathsep.join(map(str, jars))]
        properties = self._write_properties()
        if not (self._data / "meta.properties").exists():
            storage = [
                *command,
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={self._cluster_id()}",
                "-c",
                str(properties),
            ]
            _format([*storage, *self._format_options()])
        return ProcessSpec(
            name=self.name,
            command=[*command, "kafka.Kafka", str(properties)],
            environment=child_environment(self._settings),
            ready=lambda: broker_answers(self.connection, timeout_seconds=0.5),
            ready_within_seconds=self.ready_within_seconds,
        )

    def _format_options(self) -> Sequence[str]:
        """Return further options for formatting the data; a broker of the tests adds its users."""
        return ()

    def _choose_folder(self, kafka: Path) -> Path:
        """Return the folder of this broker below the folder of all."""
        return kafka

    def _require_own_data(self) -> None:
        require_number_of_brokers(self._folder, 1)

    def _cluster_id(self) -> str:
        return new_cluster_id()

    def _properties(self) -> dict[str, str]:
        """Return the configuration of the broker."""
        controller = f"{LOOPBACK}:{self._controller_port}"
        return {
            **_BROKER,
            "log.dirs": str(self._data),
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "controller.quorum.voters": f"1@{controller}",
        }

    def _write_properties(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "server.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()))
        return file

    def _refuse_second_broker(self) -> None:
        """Raise `Misconfigured` if a broker holds Kafka's lock on the data, instead of failing later."""
        lock = self._data / ".lock"
        if not lock.exists():
            return
        with lock.open("r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Misconfigured(
                    f"another broker uses {self._data}: stop it, give its address in CARDWATCH_KAFKA_BOOTSTRAP, "
                    "or choose another folder in CARDWATCH_HOME"
                ) from error


def require_number_of_brokers(kafka: Path, wanted: int) -> None:
    """Raise `Misconfigured` if the folder holds data of another number of brokers.

    An added broker would get no replicas of existing topics, and one that is left out would take its replicas along.
    """
    single, several = any(kafka.glob("data/meta.properties")), any(kafka.glob("broker-*/data/meta.properties"))
    if (several and wanted == 1) or (single and wanted > 1):
        found = "several brokers" if several else "one broker"
        remedy = "`cardwatch kafka --brokers 3`" if several else "one"
        raise Misconfigured(
            f"{kafka} holds the data of {found}, which {wanted} cannot use: start {remedy}, choose another folder in "
            f"CARDWATCH_HOME, or delete {kafka} with all its topics"
        )


def new_cluster_id() -> str:
    """Return a random cluster id in Kafka's format."""
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _format(command: list[str]) -> None:
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise Misconfigured(
            f"Kafka's data folder cannot be formatted: {(completed.stderr or completed.stdout).strip()[-800:]}"
        )
