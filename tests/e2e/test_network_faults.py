"""Network faults between the stream worker, the broker and the scoring service, by Toxiproxy.

After each fault the worker recovers by itself, and every transaction has one decision, in order.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from adapters.local_stack.toxiproxy import DOWNSTREAM, UPSTREAM
from adapters.runtime.kafka_connection import KafkaClient
from infra.local_stack.supervisor import ProcessSpec
from tests.deadlines import pass_seconds, until
from tests.e2e.cutting_worker import DONE
from tests.e2e.evidence import (
    UNCLOSED_SOCKETS,
    Evidence,
    gather,
    positions_now,
    require_features_and_states_of_a_replay,
    require_one_decision_each,
)
from tests.e2e.proxied_stack import ProxiedStack, proxied_stack
from tests.e2e.system import System, start_system
from tests.e2e.toxiproxy import Proxy

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800), UNCLOSED_SOCKETS]

WORKER = "stream"
TRAFFIC_SECONDS = 900
"""Traffic for which transactions are simulated. It is paused while a test counts, and ends with the tests."""
RATE, CARDS = 50, 600
"""At 50 transactions per second of 600 cards a day of events takes half a minute, so that the reference table of the
last day of history does not become stale, which would degrade decisions."""


class Fault(NamedTuple):
    """A fault for some seconds. `felt_ms` is a latency that at least one decision has because of it."""

    name: str
    begin: Callable[[Proxy], None]
    seconds: float
    felt_ms: float


def cut_often(proxy: Proxy, seed: int) -> None:
    """Close all connections again and again, at any point of a poll or a commit."""
    chance = random.Random(seed)
    for _ in range(12):
        proxy.cut()
        pass_seconds(chance.uniform(0.02, 0.5))


BROKER_FAULTS = [
    Fault("latency", lambda proxy: proxy.delay(300), 4.0, 300),
    Fault("jitter", lambda proxy: proxy.delay(100, jitter=100), 4.0, 100),
    Fault("cuts", lambda proxy: cut_often(proxy, seed=15), 0.0, 100),
    # Longer than the session of six seconds: the group gives the partitions away.
    Fault("half-open", lambda proxy: proxy.swallow(UPSTREAM, DOWNSTREAM), 8.0, 7_000),
    Fault("1 kB/s", lambda proxy: proxy.limit(1), 6.0, 1_000),
]
SCORING_FAULTS = [
    Fault("latency", lambda proxy: proxy.delay(300), 3.0, 300),
    Fault("refused", Proxy.refuse, 2.0, 0),
    # Longer than the worker's deadline of five seconds for a batch.
    Fault("half-open", lambda proxy: proxy.swallow(UPSTREAM, DOWNSTREAM), 7.0, 5_000),
]
DEGRADING = ("refused", "half-open")
"""Faults of the connection to the scoring service that no deadline can bridge."""


class Faulty(NamedTuple):
    """A system whose worker reaches everything through proxies."""

    system: System
    stack: ProxiedStack


@pytest.fixture(scope="module", params=KafkaClient)
def faulty(
    toxiproxy: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Faulty]:
    """Traffic that is paused, and a worker that has decided all of it."""
    home = tmp_path_factory.mktemp("faults") / "home"
    with proxied_stack(home, toxiproxy, [WORKER], request.param) as stack:
        system = start_system(stack, traffic_seconds=TRAFFIC_SECONDS, cards=CARDS, rate=RATE)
        stack.start(WORKER)
        system.begin_traffic()
        system.await_decisions(50)
        system.pause_traffic()
        until("everything decided", system.is_all_decided)
        yield Faulty(system, stack)


def under_traffic(system: System, act: Callable[[], None]) -> Evidence:
    """Act while transactions come, and count afterwards, when all is decided."""
    start = positions_now(system.settings)
    system.resume_traffic()
    act()
    system.pause_traffic()
    until("everything decided", system.is_all_decided)
    return gather(system.settings, start)


def hold(system: System, proxy: Proxy, fault: Fault) -> None:
    """Let a fault last, and wait until decisions flow again."""
    fault.begin(proxy)
    pass_seconds(fault.seconds)
    proxy.heal()
    system.await_decisions(50)


@pytest.mark.parametrize("fault", BROKER_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_between_worker_and_broker_loses_and_repeats_nothing(faulty: Faulty, fault: Fault) -> None:
    proxy = faulty.stack.proxies[WORKER].kafka
    evidence = under_traffic(faulty.system, lambda: hold(faulty.system, proxy, fault))
    require_one_decision_each(evidence)
    assert max(evidence.latencies_ms) >= fault.felt_ms
    assert evidence.degraded == 0, "a fault of the broker delays decisions and does not degrade them"


@pytest.mark.parametrize("fault", SCORING_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_between_worker_and_scoring_degrades_at_most(faulty: Faulty, fault: Fault) -> None:
    proxy = faulty.stack.proxies[WORKER].scoring
    evidence = under_traffic(faulty.system, lambda: hold(faulty.system, proxy, fault))
    require_one_decision_each(evidence)
    assert max(evidence.latencies_ms) >= fault.felt_ms
    assert (evidence.degraded > 0) == (fault.name in DEGRADING)


def test_a_cut_in_the_middle_of_a_commit_loses_and_repeats_nothing(faulty: Faulty) -> None:
    system, stack = faulty
    stack.supervisor.stop(WORKER)
    cutting = ProcessSpec(
        name="cutting-worker",
        command=[
            sys.executable,
            "-m",
            "tests.e2e.cutting_worker",
            stack.toxiproxy_url,
            stack.proxies[WORKER].kafka.name,
        ],
        environment=stack.environment_of(WORKER),
    )
    stack.supervisor.start(cutting)
    log = stack.supervisor.log("cutting-worker")
    evidence = under_traffic(system, lambda: until("all cuts", lambda: DONE in log.read_text()) and None)
    require_one_decision_each(evidence)
    told = log.read_text()
    assert [told.count(f"cut {kind}") for kind in ("before_request", "before_answer", "for_longer")] == [2, 2, 2]
    assert told.count("starting again from the committed offsets") >= 2
    stack.supervisor.stop("cutting-worker")
    stack.start(WORKER)


def test_after_all_faults_features_and_states_are_those_of_a_replay(faulty: Faulty) -> None:
    faulty.stack.supervisor.stop(WORKER)
    assert require_features_and_states_of_a_replay(faulty.system) > 1_000
