"""The stream worker on three brokers: each killed in turn, the controller killed, a rolling restart, under traffic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from adapters.runtime.kafka_connection import KafkaClient
from adapters.runtime.settings import Settings, read_settings
from infra.local_stack.kafka_cluster import BROKERS, KafkaCluster
from infra.local_stack.stack import LocalStack
from infra.local_stack.supervisor import Supervisor
from tests.deadlines import until
from tests.e2e.evidence import (
    UNCLOSED_SOCKETS,
    Evidence,
    gather,
    positions_now,
    require_features_and_states_of_a_replay,
    require_one_decision_each,
)
from tests.e2e.system import System, start_system
from tests.integration.replicas import Replicas

pytestmark = [pytest.mark.long, pytest.mark.timeout(3_600), UNCLOSED_SOCKETS]

WORKER = "stream"


class Clustered(NamedTuple):
    """A system on three brokers."""

    system: System
    cluster: KafkaCluster
    replicas: Replicas


@pytest.fixture(scope="module", params=list(KafkaClient))
def clustered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clustered]:
    home = tmp_path_factory.mktemp("brokers")
    with Supervisor(home / "cluster") as supervisor:
        cluster = KafkaCluster(Settings(home=home / "cluster"), supervisor)
        cluster.start()
        settings = read_settings({}, home=home / "home", kafka_bootstrap=cluster.bootstrap, kafka_client=request.param)
        with LocalStack(settings) as stack:
            system = start_system(stack, traffic_seconds=900, cards=1_000, rate=100)
            stack.start(WORKER)
            system.begin_traffic()
            system.await_decisions(200)
            system.pause_traffic()
            until("everything decided", system.is_all_decided)
            yield Clustered(system, cluster, Replicas(cluster))


def counted(system: System, start: dict[tuple[str, int], int]) -> Evidence:
    system.pause_traffic()
    until("everything decided", system.is_all_decided)
    return gather(system.settings, start)


@pytest.mark.parametrize("victim", [*range(1, BROKERS + 1), "controller"])
def test_a_broker_may_be_killed_under_traffic(clustered: Clustered, victim: int | str) -> None:
    system, cluster, replicas = clustered
    replicas.await_in_sync()
    start = positions_now(system.settings)
    system.resume_traffic()
    system.await_decisions(200)
    number = cluster.controller() if victim == "controller" else victim
    assert isinstance(number, int)
    cluster.kill(number)
    system.await_decisions(200)
    cluster.start(number)
    replicas.await_in_sync()
    system.await_decisions(200)
    evidence = counted(system, start)
    require_one_decision_each(evidence)
    assert evidence.degraded == 0


def test_brokers_may_be_restarted_one_after_another(clustered: Clustered) -> None:
    system, cluster, replicas = clustered
    replicas.await_in_sync()
    start = positions_now(system.settings)
    system.resume_traffic()
    for number in range(1, BROKERS + 1):
        cluster.restart(number)
        replicas.await_in_sync()
        system.await_decisions(200)
    evidence = counted(system, start)
    require_one_decision_each(evidence)
    assert evidence.degraded == 0


def test_afterwards_features_and_states_are_those_of_a_replay(clustered: Clustered) -> None:
    clustered.system.stack.supervisor.stop(WORKER)
    assert require_features_and_states_of_a_replay(clustered.system) > 1_000
