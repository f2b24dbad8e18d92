"""Three brokers before they are started: their configuration, and data of another number of brokers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings
from cardwatch.errors import Misconfigured, PortInUse
from cli.kafka import kafka
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.kafka_cluster import KafkaCluster
from infra.local_stack.supervisor import Supervisor


def cluster(home: Path, port: int = 0) -> KafkaCluster:
    return KafkaCluster(Settings(home=home), Supervisor(home), port=port)


def data(home: Path, folder: str, cluster_id: str = "an-id") -> None:
    """Data as they are after a first start."""
    file = home / "kafka" / folder / "data" / "meta.properties"
    file.parent.mkdir(parents=True)
    file.write_text(f"version=1\ncluster.id={cluster_id}\nnode.id=1\n")


def test_the_brokers_listen_on_three_ports_in_a_row_and_clients_know_all(tmp_path: Path) -> None:
    # Three free ports in a row are not certain: the system is asked until it gives some.
    for port in free_ports(50):
        try:
            brokers = cluster(tmp_path, port)
        except PortInUse:
            continue
        assert brokers.bootstrap == ",".join(f"{LOOPBACK}:{port + index}" for index in range(3))
        assert brokers.connection.bootstrap == brokers.bootstrap
        return
    pytest.fail("no three free ports in a row")


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    # The ports before the one in use must be free, or another one is named.
    for port in free_ports(50):
        try:
            cluster(tmp_path, port)
        except PortInUse:
            continue
        with (
            socket.create_server((LOOPBACK, port + 2)),
            pytest.raises(PortInUse, match=f"port {port + 2} .* the embedded Kafka brokers, is in use"),
        ):
            cluster(tmp_path, port)
        return
    pytest.fail("no three free ports in a row")


def test_data_of_one_broker_are_refused_by_three_with_the_remedy(tmp_path: Path) -> None:
    data(tmp_path, ".")
    with pytest.raises(
        Misconfigured, match=r"kafka holds the data of one broker, which 3 cannot use: start one, .*HOME"
    ):
        cluster(tmp_path).start()
    result = CliRunner().invoke(kafka, ["--brokers", "3"], env={"CARDWATCH_HOME": str(tmp_path)})
    assert isinstance(result.exception, Misconfigured)


def test_data_of_three_brokers_are_refused_by_one_with_the_remedy(tmp_path: Path) -> None:
    data(tmp_path, "broker-2")
    remedy = r"holds the data of several brokers, which 1 cannot use: start `cardwatch kafka --brokers 3`"
    with pytest.raises(Misconfigured, match=remedy):
        EmbeddedKafka(Settings(home=tmp_path)).process_spec()


@pytest.mark.parametrize("number", ["0", "2", "4"])
def test_other_numbers_of_brokers_are_refused(number: str) -> None:
    result = CliRunner().invoke(kafka, ["--brokers", number])
    assert result.exit_code == 2
    assert "'1', '3'" in result.output


def test_an_interrupted_first_start_is_continued_under_its_cluster_id(tmp_path: Path) -> None:
    data(tmp_path, "broker-3", cluster_id="first-id")
    assert {broker._cluster_id() for broker in cluster(tmp_path)._brokers.values()} == {"first-id"}


def test_the_controller_is_the_one_of_the_newest_election_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers = cluster(tmp_path)
    monkeypatch.setattr(KafkaCluster, "running", property(lambda _: [1, 2]))
    assert brokers.controller() is None

    def knows(number: int, leader: int, epoch: int) -> None:
        file = tmp_path / "kafka" / f"broker-{number}" / "data" / "__cluster_metadata-0" / "quorum-state"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'{{"leaderId":{leader},"leaderEpoch":{epoch},"votedId":-1,"data_version":1}}')

    knows(1, leader=3, epoch=4)
    assert brokers.controller() is None  # it was killed, and the others have not noticed yet
    knows(2, leader=2, epoch=5)
    assert brokers.controller() == 2
    knows(1, leader=-1, epoch=6)
    assert brokers.controller() is None
