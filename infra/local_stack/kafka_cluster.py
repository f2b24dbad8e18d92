"""Three embedded brokers, which tolerate the loss of one: each is a broker and one voter of the controllers' quorum."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports, require_free
from adapters.runtime.settings import Settings
from infra.local_stack.embedded_kafka import (
    READY_WITHIN_SECONDS,
    EmbeddedKafka,
    new_cluster_id,
    require_number_of_brokers,
)
from infra.local_stack.kafka_jars import kafka_jars
from infra.local_stack.supervisor import Supervisor
from infra.reporting import Report

BROKERS: Final = 3
"""Number of brokers and voters: the smallest of which one may be lost, and two still are a majority."""

_REPLICATED: Final = {
    # Every partition is on every broker, and a write is accepted when two have it.
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # A killed broker leads no partition any more after this time; Kafka's default is 9 s.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "500",
    # A broker that is back leads its partitions again after this time; Kafka's default is 300 s.
    "leader.imbalance.check.interval.seconds": "30",
}


class _Ports(NamedTuple):
    """Ports of one node."""

    clients: int
    controller: int


class _QuorumState(Struct, rename="camel"):
    """The quorum as a node knows it: the active controller, -1 during an election, and the number of elections."""

    leader_id: int
    leader_epoch: int


class ClusterBroker(EmbeddedKafka):
    """One broker of a cluster. Its number, from 1, is its node id in Kafka."""

    heap_megabytes = 256
    ready_within_seconds = BROKERS * READY_WITHIN_SECONDS

    def __init__(
        self, settings: Settings, number: int, ports: Sequence[_Ports], cluster_id: str, report: Report
    ) -> None:
        self.number, self.name = number, f"kafka-{number}"
        super().__init__(settings, report=report)
        self._id, self._voters = cluster_id, ports
        self._port, self._controller_port = ports[number - 1]

    def quorum_state(self) -> _QuorumState | None:
        """Return what this node knows about the quorum, None before its first start."""
        file = self._data / "__cluster_metadata-0" / "quorum-state"
        try:
            return msgspec.json.decode(file.read_bytes(), type=_QuorumState)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _choose_folder(self, kafka: Path) -> Path:
        return kafka / f"broker-{self.number}"

    def _require_own_data(self) -> None:
        """The cluster checks the data of all brokers."""

    def _cluster_id(self) -> str:
        return self._id

    def _properties(self) -> dict[str, str]:
        voters = [f"{number}@{LOOPBACK}:{ports.controller}" for number, ports in enumerate(self._voters, 1)]
        return {
            **super()._properties(),
            **_REPLICATED,
            "node.id": str(self.number),
            "controller.quorum.voters": ",".join(voters),
        }


class KafkaCluster:
    """Three brokers with persistent data in `settings.home/kafka/broker-N`, as processes of a supervisor.

    Clients use `connection`, which names all three. With `port` 0 the system chooses the ports; else the brokers listen
    on `port` and the two after it, and one that is in use raises `PortInUse`. The brokers have the numbers 1 to 3.
    """

    def __init__(
        self, settings: Settings, supervisor: Supervisor, *, port: int = 0, report: Report = lambda _: None
    ) -> None:
        self._supervisor, self._report, self._client = supervisor, report, settings.kafka_client
        self._folder = settings.home.absolute() / "kafka"
        chosen = free_ports(2 * BROKERS)
        ports = [
            _Ports(
                require_free(port + index, "the embedded Kafka brokers") if port else chosen[index],
                chosen[BROKERS + index],
            )
            for index in range(BROKERS)
        ]
        cluster_id = _existing_id(self._folder) or new_cluster_id()
        self._brokers = {
            number: ClusterBroker(settings, number, ports, cluster_id, report) for number in range(1, BROKERS + 1)
        }

    @property
    def bootstrap(self) -> str:
        """Addresses of all brokers, for clients."""
        return ",".join(broker.bootstrap for broker in self._brokers.values())

    @property
    def connection(self) -> KafkaConnection:
        """How clients reach the cluster: neither encrypted nor with a login."""
        return KafkaConnection(self.bootstrap, client=self._client)

    def address(self, number: int) -> str:
        """Return the address of one broker."""
        return self._brokers[number].bootstrap

    def name(self, number: int) -> str:
        """Return the name of a broker's process and log."""
        return self._brokers[number].name

    def start(self, *numbers: int) -> None:
        """Start these brokers, without numbers all of them, at the same time, and return when they answer.

        A broker answers only while two are running. Raises what `EmbeddedKafka.process_spec` and `Supervisor.start`
        raise.
        """
        chosen = numbers or tuple(self._brokers)
        require_number_of_brokers(self._folder, BROKERS)
        kafka_jars(report=self._report)  # at the first start one download, not three at once
        with ThreadPoolExecutor(BROKERS) as pool:  # formatting the data takes a second of a Java process
            specs = list(pool.map(lambda number: self._brokers[number].process_spec(), chosen))
        self._supervisor.start(*specs)

    def stop(self, *numbers: int) -> None:
        """End brokers in order, one after the other: each hands over what it leads."""
        self._supervisor.stop(*map(self.name, numbers))

    def kill(self, *numbers: int) -> None:
        """Send SIGKILL to brokers."""
        self._supervisor.kill(*map(self.name, numbers))

    def restart(self, number: int) -> None:
        """End a broker in order and start it again."""
        self.stop(number)
        self.start(number)

    @property
    def running(self) -> list[int]:
        """Numbers of the brokers that were started and not ended."""
        return [number for number, broker in self._brokers.items() if broker.name in self._supervisor.names]

    def controller(self) -> int | None:
        """Return the number of the active controller as the running brokers know it, None during an election."""
        known = [state for number in self.running if (state := self._brokers[number].quorum_state()) is not None]
        newest = max(known, key=lambda state: state.leader_epoch, default=None)
        return newest.leader_id if newest is not None and newest.leader_id in self.running else None


def _existing_id(folder: Path) -> str | None:
    """Return the id of the cluster whose data the folder holds: a first start may have been interrupted."""
    for file in sorted(folder.glob("broker-*/data/meta.properties")):
        if found := re.search(r"^cluster\.id=(\S+)$", file.read_text(), re.MULTILINE):
            return found[1]
    return None
