"""Seeded chaos on two workers, the scoring service, the broker, the store and the network between them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from adapters.local_stack.readiness import is_responding
from adapters.runtime.clock import epoch_ms
from adapters.runtime.kafka_connection import KafkaClient
from tests.deadlines import until
from tests.e2e.chaos import Chaos
from tests.e2e.evidence import (
    UNCLOSED_SOCKETS,
    Evidence,
    gather,
    positions_now,
    require_features_and_states_of_a_replay,
    require_one_decision_each,
)
from tests.e2e.proxied_stack import proxied_stack
from tests.e2e.system import start_system

WORKERS = ("stream", "stream-2")


class Run(NamedTuple):
    """A run of the chaos."""

    seconds: int
    client: KafkaClient
    cards: int


RUNS = {
    "45-seconds": Run(45, KafkaClient.CONFLUENT, 300),
    # With more cards a day of events takes longer, so that the reference table does not become stale.
    "5-minutes": Run(300, KafkaClient.KAFKA_PYTHON, 1_500),
    "20-minutes": Run(1_200, KafkaClient.CONFLUENT, 3_500),
}
SEED = 5_031
"""With it the first four bursts have a SIGKILL of every part, the loss of the store's data, and most network faults."""


@UNCLOSED_SOCKETS
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if run.seconds > 60 else []) for name, run in RUNS.items()]
)
def test_under_chaos_every_transaction_has_one_decision_with_the_features_of_a_replay(
    name: str,
    toxiproxy: Path,
    require: Callable[[object, str], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    redis = shutil.which("valkey-server") or shutil.which("redis-server")
    require(
        redis, "Redis is not installed (redis-server or valkey-server); on Debian and Ubuntu: apt install redis-server"
    )
    run = RUNS[name]
    with proxied_stack(tmp_path / "home", toxiproxy, WORKERS, run.client, redis) as stack:
        system = start_system(stack, traffic_seconds=run.seconds + 300, cards=run.cards)
        start = positions_now(system.settings)
        stack.start(*WORKERS)
        system.begin_traffic()
        chaos = Chaos(stack, SEED, lambda: system.await_decisions(200))
        chaos.run(run.seconds)
        end_ms = epoch_ms()
        until("the workers are ready", lambda: all(is_responding(f"{stack.health_address(w)}/readyz") for w in WORKERS))
        until("the scoring service is ready", lambda: is_responding(f"{system.settings.scoring_url}/readyz"))
        system.pause_traffic()
        until("everything decided", system.is_all_decided)
        evidence = gather(system.settings, start)
        during = sum(at_ms < end_ms for at_ms in evidence.committed_at_ms)
        with capsys.disabled():
            sys.stdout.write("\n" + report(chaos, evidence, during) + "\n")
        require_one_decision_each(evidence)
        assert during >= 200 * chaos.bursts
        assert max(evidence.latencies_ms) > 1_000, "no fault was felt: the test proves nothing"
        stack.supervisor.stop(*WORKERS)
        assert require_features_and_states_of_a_replay(system) == evidence.audit.decisions


def report(chaos: Chaos, evidence: Evidence, during: int) -> str:
    """The figures as JSON: faults by target and kind, and what became of the transactions."""
    faults: dict[str, dict[str, int]] = {}
    for (target, kind), number in sorted(chaos.counts.items()):
        faults.setdefault(target, {})[kind] = number
    audit = evidence.audit
    counts = {name: getattr(audit, name) for name in ("transactions", "decisions", "repeats", "lost", "duplicates")}
    return json.dumps(
        {"bursts": chaos.bursts, "faults": faults, **counts, "during": during, "degraded": evidence.degraded}
    )
