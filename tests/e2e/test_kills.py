"""SIGKILL at random moments: nothing lost, nothing twice, every recorded feature that of a replay, to the bit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from adapters.local_stack.readiness import is_responding
from adapters.runtime.kafka_connection import KafkaClient
from cardwatch.topics import DECISIONS
from tests.e2e.evidence import (
    UNCLOSED_SOCKETS,
    gather,
    positions_now,
    require_features_and_states_of_a_replay,
    require_one_decision_each,
)
from tests.e2e.system import System

KILLS_EACH = 3
pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800), UNCLOSED_SOCKETS]  # `make test` has the chaos


def random_pauses(seed: int) -> Iterator[int]:
    """Yield numbers of decisions to wait for before the next kill."""
    chance = random.Random(seed)
    while True:
        yield chance.randrange(20, 400)


@pytest.mark.parametrize("kafka_client", KafkaClient)
def test_kills_of_worker_and_scoring_service_lose_nothing_repeat_nothing_and_change_no_feature(
    system: System, go: Callable[[System], None]
) -> None:
    start = positions_now(system.settings)
    system.stack.start("stream")
    go(system)
    pauses = random_pauses(seed=20_251)
    for victims in [("stream",), ("scoring",), ("stream", "scoring")] * KILLS_EACH:
        wanted = sum(system.ends(DECISIONS).values()) + next(pauses)
        # On a slow machine the traffic may end before the last kill, which then hits an idle system.
        system.until(
            f"{wanted} decisions before {victims} are killed",
            lambda wanted=wanted: (
                sum(system.ends(DECISIONS).values()) >= wanted
                or ("generator" in system.stack.supervisor.finished and system.is_all_decided())
            ),
        )
        system.until("the scoring service is back", lambda: is_responding(f"{system.settings.scoring_url}/readyz"))
        system.stack.supervisor.kill(*victims)
        system.stack.start(*victims, wait=False)
    system.stack.supervisor.wait("generator")
    system.until("everything decided", system.is_all_decided)

    evidence = gather(system.settings, start)
    assert evidence.audit.transactions == 15_000
    require_one_decision_each(evidence)
    assert evidence.degraded > 0, "no kill was felt: the test proves nothing"
    system.stack.supervisor.stop("stream")
    assert require_features_and_states_of_a_replay(system) == evidence.audit.decisions
