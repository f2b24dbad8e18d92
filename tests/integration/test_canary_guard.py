"""A broken canary is taken off the ladder by each guard rail, from decisions on a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import create_topics
from adapters.move_log.sql import SqlMoveLog
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.settings import Settings
from cardwatch.events import Action, Decision, encode, to_epoch_ms
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import Move, MoveKind
from cardwatch.ladder.policy import GuardRails
from cardwatch.ladder.state import Stage
from cardwatch.topics import DECISIONS
from cardwatch.warm_up import EXAMPLE
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import Supervisor
from services.monitor.guard import ACTOR, CanaryGuard
from tests.ladders import MemoryProjection

POLICY = GuardRails(minimum_decisions=100)
DEADLINE_SECONDS = 60.0
_NOONS = (datetime(2026, 3, day, 12, tzinfo=UTC) for day in range(1, 32))
"""Each test has a day of its own on the shared topic."""
SHARE = 0.25
Change = Callable[[Decision, bool], Decision]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaConnection]:
    home = tmp_path_factory.mktemp("guard")
    kafka = EmbeddedKafka(Settings(home=home))
    with Supervisor(home) as supervisor:
        supervisor.start(kafka.process_spec())
        create_topics(kafka.connection, partitions=2)
        yield kafka.connection


def decisions(canary: str | None, count: int, start: datetime, change: Change) -> list[Decision]:
    """Decisions of 20 s, five of a hundred with an alert; `change` gets each one and whether the canary made it."""
    probabilities = np.random.default_rng(1).random(count).tolist()
    made = []
    for number, probability in enumerate(probabilities):
        by_canary = canary is not None and number % 100 < 100 * SHARE
        decision = Decision(
            transaction=structs.replace(EXAMPLE, transaction_id=f"t-{number}", card_id=f"c-{number}"),
            partition=0,
            offset=number,
            sequence=0,
            features=[],
            feature_schema=SCHEMA_HASH,
            table_id="table",
            policy_version="policy",
            model_version=canary if by_canary else "1",
            margin=0.0,
            probability=probability,
            action=Action.CHALLENGE if number // 100 % 20 == 0 else Action.APPROVE,
            reasons=[],
            shadow_version=("1" if by_canary else canary) if canary else None,
            shadow_probability=probability if canary else None,
            canary_version=canary,
            canary_share=SHARE if canary else None,
            decided_at=start + timedelta(seconds=20 * number / count),
            latency_ms=10.0,
        )
        made.append(change(decision, by_canary))
    return made


def unchanged(decision: Decision, _by_canary: bool) -> Decision:
    return decision


def often_degraded(decision: Decision, _by_canary: bool) -> Decision:
    if decision.offset % 5:
        return decision
    names = ("model_version", "probability", "shadow_version", "shadow_probability", "canary_version", "canary_share")
    return structs.replace(decision, degraded=True, **dict.fromkeys(names))


def slow(decision: Decision, _by_canary: bool) -> Decision:
    return structs.replace(decision, latency_ms=9_000.0)


def alarming(decision: Decision, by_canary: bool) -> Decision:
    return structs.replace(decision, action=Action.DECLINE) if by_canary and decision.offset % 5 == 0 else decision


def scoring_differently(decision: Decision, by_canary: bool) -> Decision:
    assert decision.probability is not None
    name = "probability" if by_canary else "shadow_probability"
    return structs.replace(decision, **{name: decision.probability / 2})


@pytest.fixture
def watched(broker: KafkaConnection, tmp_path: Path) -> Iterator[Callable[..., Move | None]]:
    """Sends decisions from before a canary, lets version 2 be one, and returns what the guard does about the next."""
    noon = next(_NOONS)
    mover = Mover(SqlMoveLog(tmp_path), MemoryProjection("1", "2", champion="1"), lambda: to_epoch_ms(noon))
    with closing(CanaryGuard(broker, mover, POLICY)) as guard, closing(LogWriter(broker)) as writer:

        def send(sent: list[Decision]) -> None:
            for decision in sent:
                writer.write(DECISIONS, decision.transaction.card_id, encode(decision))
            writer.write(DECISIONS, "c", b"no decision")
            writer.flush()

        def look(change: Change, *, until_retired: bool) -> Move | None:
            send(decisions(None, 400, noon - timedelta(seconds=30), unchanged))
            assert guard.look() is None
            for kind in (MoveKind.CHALLENGE, MoveKind.SHADOW, MoveKind.CANARY):
                share = SHARE if kind is MoveKind.CANARY else None
                mover.move(kind, "2", actor="ann", reason="a test", share=share)
            assert guard.look() is None
            send(decisions("2", 2_000, noon + timedelta(seconds=1), change))
            deadline = time.monotonic() + (DEADLINE_SECONDS if until_retired else 1.0)
            while (move := guard.look()) is None and time.monotonic() < deadline:
                pass
            assert mover.state().stage_of("2") is (Stage.CANARY if move is None else Stage.RETIRED)
            return move

        yield look


@pytest.mark.parametrize(
    ("change", "rail"),
    [(often_degraded, "degraded"), (slow, "latency"), (alarming, "alerts"), (scoring_differently, "scores")],
)
def test_each_guard_rail_retires_a_broken_canary_and_records_what_it_measured(
    watched: Callable[..., Move | None], change: Change, rail: str
) -> None:
    move = watched(change, until_retired=True)
    assert move is not None
    assert (move.kind, move.version, move.actor) == (MoveKind.RETIRE, "2", ACTOR)
    assert move.evidence is not None
    assert [check.name for check in move.evidence.checks if not check.passed] == [rail]
    assert move.reason == "; ".join(move.evidence.failures)


def test_a_canary_like_the_champion_stays(watched: Callable[..., Move | None]) -> None:
    assert watched(unchanged, until_retired=False) is None
