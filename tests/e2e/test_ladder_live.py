"""Moves between the stages while a real stream decides: each decision is that of one model, chosen by its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.move_log.open import open_ladder
from cardwatch.decision.canary_cards import position_of_card
from cardwatch.detector.detector import Detector
from cardwatch.events import Decision, decode, to_epoch_ms
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import Move, MoveKind
from cardwatch.topics import DECISIONS
from cli.demo.topic_audit import committed_records
from models.training import TrainingSettings
from tests.e2e.evidence import UNCLOSED_SOCKETS, gather, positions_now, require_one_decision_each
from tests.e2e.system import System

ROLLBACK_SECONDS = 5.0
STEPS = (
    (MoveKind.CHALLENGE, None), (MoveKind.SHADOW, None), (MoveKind.CANARY, 0.1), (MoveKind.CANARY, 0.5),
    (MoveKind.PROMOTE, None), (MoveKind.ROLLBACK, None),
)  # fmt: skip
CYCLES = 4
pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800), UNCLOSED_SOCKETS]


@pytest.fixture
def traffic_seconds() -> int:
    return 110


@pytest.fixture
def mover(system: System) -> Iterator[Mover]:
    with closing(MlflowRegistry(system.settings.mlflow_url)) as registry:
        yield open_ladder(system.settings, registry)


def decisions(system: System, start: dict[tuple[str, int], int]) -> list[Decision]:
    return [decode(record.value, Decision) for record in committed_records(system.settings, DECISIONS, start)]


def test_of_24_moves_under_traffic_every_decision_is_of_one_model_and_rollback_takes_five_seconds(
    system: System, mover: Mover, go: Callable[[System], None], record_property: Callable[[str, object], None]
) -> None:
    second = system.train_version(TrainingSettings(trees=12, threads=1))
    start = positions_now(system.settings)
    system.stack.start("stream")
    go(system)
    system.await_decisions(100)
    moves: list[Move] = []
    for _ in range(CYCLES):
        for kind, share in STEPS:
            version = "1" if kind is MoveKind.ROLLBACK else second
            moves.append(mover.move(kind, version, actor="ann", reason="a test", share=share))
            system.await_decisions(500)  # of three seconds: longer than the poll of the scoring service
    system.stack.supervisor.wait("generator")
    system.until("everything decided", system.is_all_decided)

    evidence = gather(system.settings, start)
    require_one_decision_each(evidence)
    recorded = decisions(system, start)
    assert len(recorded) == evidence.audit.transactions
    # Simulated weeks pass, and nobody closes a day here: at the end the reference table is too old, for any model.
    made = [decision for decision in recorded if "reference table" not in (decision.degraded_reason or "")]
    assert [decision.degraded_reason for decision in made if decision.degraded] == []
    assert len(made) > 5_000
    with closing(MlflowRegistry(system.settings.mlflow_url)) as registry:
        models = {
            number: Detector.from_files(registry.files(found))
            for number in ("1", second)
            if (found := registry.version(number)) is not None
        }
    features = np.array([decision.features for decision in made], np.float32)
    margins = {number: model.margins(features) for number, model in models.items()}
    for row, decision in enumerate(made):
        assert decision.model_version is not None
        assert decision.margin == margins[decision.model_version][row]
        if decision.shadow_version is not None:
            assert decision.shadow_version != decision.model_version
            assert decision.shadow_margin == margins[decision.shadow_version][row]
        if decision.canary_version is not None:
            assert decision.canary_share is not None
            position = position_of_card(decision.transaction.card_id, decision.canary_version)
            assert (decision.model_version == decision.canary_version) == (position < decision.canary_share)
    assert {decision.canary_share for decision in made} == {None, 0.1, 0.5}

    slowest = 0.0
    for move, following in pairwise([*moves, None]):
        if move.kind is MoveKind.ROLLBACK:
            until_ms = following.at_ms if following else 2**53
            late = [
                to_epoch_ms(decision.decided_at) - move.at_ms
                for decision in made
                if decision.model_version == second and move.at_ms <= to_epoch_ms(decision.decided_at) < until_ms
            ]
            slowest = max([slowest, *late])
    assert slowest / 1e3 <= ROLLBACK_SECONDS
    record_property("decisions", len(made))
    record_property("slowest_rollback_seconds", slowest / 1e3)
