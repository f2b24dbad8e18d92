"""A worker that sleeps between its commit and its store write, while another takes its partitions, changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters.feature_store.lmdb import LmdbStore
from adapters.runtime.kafka_connection import KafkaClient
from adapters.runtime.settings import child_environment
from cli.demo.observer import live_positions
from cli.demo.topic_audit import audit_topics
from infra.local_stack.supervisor import ProcessSpec

SLEEPING_WORKER = Path(__file__).with_name("sleeping_worker.py")


@pytest.fixture
def traffic_seconds() -> int:
    return 30


@pytest.mark.long  # the chaos, which is not, stops workers for longer than their session, at moments by chance
@pytest.mark.parametrize("kafka_client", KafkaClient)
@pytest.mark.timeout(600)
def test_a_worker_that_lost_its_partitions_while_asleep_is_refused(system: Any, go: Callable[[Any], None]) -> None:
    stack = system.stack
    start = live_positions(system.settings)
    stack.start("stream")  # folds history into the store, so that the sleeper's first write is that of a batch
    stack.supervisor.stop("stream")
    stack.supervisor.start(
        ProcessSpec(
            name="sleeper",
            command=[sys.executable, str(SLEEPING_WORKER)],
            environment=child_environment(system.settings, PYTHONUNBUFFERED="1"),
        )
    )
    go(system)
    sleeper = psutil.Process(stack.supervisor.pid("sleeper"))
    system.until("the sleeper sleeps", lambda: sleeper.status() == psutil.STATUS_STOPPED)

    stack.start("stream")
    stack.supervisor.wait("generator")
    system.until("the other worker has decided everything", system.is_all_decided)
    before = contents(system.settings.store)

    sleeper.resume()
    log = stack.supervisor.log("sleeper")
    system.until("the sleeper is refused", lambda: "another worker has written since" in log.read_text())

    assert contents(system.settings.store) == before
    counts = audit_topics(system.settings, start)
    assert (counts.transactions, counts.lost, counts.duplicates, counts.strays) == (4_500, 0, 0, 0)


def contents(folder: Path) -> tuple[dict[str, bytes], list[int]]:
    with LmdbStore(folder, readonly=True) as store:
        return store.cards(), [store.applied(partition) for partition in range(4)]
