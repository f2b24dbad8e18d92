"""The ladder on a real MLflow server, and moves while two workers answer requests."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from adapters.model_registry.ladder_aliases import LadderAliases
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.move_log.sql import SqlMoveLog
from adapters.runtime.clock import epoch_ms
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import MoveKind
from cardwatch.registry import CANARY, CHAMPION, PREVIOUS, SHADOW, ServedAliases
from tests.integration.scoring_load import (
    BATCH,
    CLIENTS,
    Detectors,
    Load,
    Mlflow,
    Record,
    Rows,
    Stack,
    Until,
    expected_margins,
)

CYCLE = (MoveKind.CHALLENGE, MoveKind.SHADOW, MoveKind.CANARY, MoveKind.CANARY, MoveKind.PROMOTE, MoveKind.ROLLBACK)
"""A version climbs, decides two shares of the cards, is champion, and is rolled back."""
CYCLES = 2
ROLLBACK_SECONDS = 5.0


def mover_on(registry: MlflowRegistry, home: Path) -> Mover:
    return Mover(SqlMoveLog(home), LadderAliases(registry), epoch_ms)


def do(mover: Mover, kind: MoveKind, version: str, share: float | None = None) -> None:
    mover.move(kind, version, actor="ann", reason="a test", share=share)


@pytest.fixture
def clean(stack: Stack, mlflow: Mlflow, versions: tuple[str, str]) -> Iterator[Mlflow]:
    """The registry with the first version as champion and without the aliases of other tests.

    `stack` comes first, because it wants to see the registry without a champion.
    """
    for alias in (SHADOW, CANARY, PREVIOUS):
        mlflow.registry.delete_alias(alias)
    mlflow.registry.set_alias(CHAMPION, versions[0])
    yield mlflow
    for alias in (SHADOW, CANARY, PREVIOUS):
        mlflow.registry.delete_alias(alias)


def test_aliases_and_share_follow_the_moves(clean: Mlflow, versions: tuple[str, str], tmp_path: Path) -> None:
    first, second = versions
    mover, registry = mover_on(clean.registry, tmp_path), clean.registry
    expected = {
        (MoveKind.CHALLENGE, None): ({CHAMPION: first}, None),
        (MoveKind.SHADOW, None): ({CHAMPION: first, SHADOW: second}, None),
        (MoveKind.CANARY, 0.25): ({CHAMPION: first, CANARY: second}, 0.25),
        (MoveKind.CANARY, 0.5): ({CHAMPION: first, CANARY: second}, 0.5),
        (MoveKind.PROMOTE, None): ({CHAMPION: second, PREVIOUS: first}, None),
    }
    for (kind, share), (aliases, shown_share) in expected.items():
        do(mover, kind, second, share)
        found = registry.aliases()
        assert {name: found.versions[name] for name in found.versions if name != "challenger"} == aliases
        if shown_share is not None:
            assert found.canary_share == shown_share
    do(mover, MoveKind.ROLLBACK, first)
    assert registry.aliases().versions[CHAMPION] == first
    assert PREVIOUS not in registry.aliases().versions


class Dies(Exception):
    """The process ends here."""


class DiesAtWrite:
    """A registry whose process ends instead of its write number `at`, counted from 0."""

    def __init__(self, registry: MlflowRegistry, at: int) -> None:
        self._registry, self._left = registry, at

    def __getattr__(self, name: str) -> object:
        if name in {"set_alias", "delete_alias", "set_canary_share"}:
            self._left -= 1
            if self._left < 0:
                raise Dies
        return getattr(self._registry, name)


@pytest.mark.parametrize("last", [MoveKind.CANARY, MoveKind.PROMOTE, MoveKind.ROLLBACK])
def test_after_a_crash_at_any_write_of_a_move_the_next_look_completes_it(
    clean: Mlflow, versions: tuple[str, str], tmp_path: Path, last: MoveKind
) -> None:
    moves = CYCLE[: CYCLE.index(last)] if last is not MoveKind.CANARY else CYCLE[:2]
    for at in count():
        home = tmp_path / str(at)
        home.mkdir()
        for alias in (SHADOW, CANARY, PREVIOUS):
            clean.registry.delete_alias(alias)
        clean.registry.set_alias(CHAMPION, versions[0])
        whole = mover_on(clean.registry, home)
        for number, kind in enumerate(moves):
            do(whole, kind, versions[1], 0.1 * (number + 1) if kind is MoveKind.CANARY else None)
        dying = DiesAtWrite(clean.registry, at)
        crashed = mover_on(dying, home)  # type: ignore[arg-type]
        version = versions[0] if last is MoveKind.ROLLBACK else versions[1]
        try:
            do(crashed, last, version, 0.5 if last is MoveKind.CANARY else None)
        except Dies:
            other = mover_on(clean.registry, home)
            assert other.history()[-1].kind is last
            assert other.repair() is True
            assert LadderAliases(clean.registry).shows(other.state())
            continue
        assert at > 0, "the move writes nothing"
        assert LadderAliases(clean.registry).shows(crashed.state())
        return


@pytest.mark.rubric("infra-7")
def test_of_moves_under_load_no_request_fails_no_answer_mixes_models_and_a_rollback_takes_five_seconds(
    start_scoring: Callable[..., Stack],
    clean: Mlflow,
    detectors: Detectors,
    versions: tuple[str, str],
    rows: Rows,
    until: Until,
    record_property: Record,
    tmp_path: Path,
) -> None:
    """Two workers answer four clients and follow the aliases by polling alone.

    `tests/e2e/test_ladder_live.py` makes 24 moves while a stream decides.
    """
    stack = start_scoring(scoring_workers=2)
    until(lambda: stack.status("/readyz") == 200, "a champion is served")
    mover, load, batch = mover_on(clean.registry, tmp_path), Load(), rows(BATCH, seed=9)
    margins = expected_margins(versions, detectors, batch)
    lock, seen = threading.Lock(), dict[tuple[str, str | None, float | None], float]()

    def client() -> Callable[[], None]:
        scorer = load._clients.enter_context(stack.client())

        def call() -> None:
            begin = time.perf_counter()
            scores = scorer.score(batch, np.full(len(batch), np.inf), schema_hash=SCHEMA_HASH)
            load.seconds.append(time.perf_counter() - begin)
            candidate = scores.canary or scores.shadow
            if scores.margins.tobytes() != margins[scores.model_version]:
                load.failed.append(f"margins that are not those of version {scores.model_version}")
            if candidate is not None and candidate.margins.tobytes() != margins[candidate.model_version]:
                load.failed.append(f"margins that are not those of candidate {candidate.model_version}")
            if candidate is not None and candidate.model_version == scores.model_version:
                load.failed.append("one version is champion and candidate")
            share = scores.canary.share if scores.canary else None
            with lock:
                seen[scores.model_version, candidate.model_version if candidate else None, share] = time.perf_counter()

        return call

    first, second = versions
    rollbacks, moves = [], 0
    with load.under(*(client() for _ in range(CLIENTS))):
        for _ in range(CYCLES):
            for number, kind in enumerate(CYCLE):
                share = 0.1 * number if kind is MoveKind.CANARY else None
                moved = time.perf_counter()
                do(mover, kind, first if kind is MoveKind.ROLLBACK else second, share)
                moves += 1
                state = mover.state()
                assert state.champion is not None
                candidate = state.canary or state.shadow
                wanted = (state.champion.version, candidate.version if candidate else None, state.canary_share)

                def everybody_sees_it(
                    wanted: tuple[str, str | None, float | None] = wanted, moved: float = moved
                ) -> bool:
                    """Nothing else was answered for half a second, which is some hundred answers of both workers."""
                    with lock:
                        others = max((at for answer, at in seen.items() if answer != wanted), default=0.0)
                        return seen.get(wanted, 0.0) > max(others, moved) + 0.5

                until(everybody_sees_it, f"{kind} is served by all workers")
                if kind is MoveKind.ROLLBACK:
                    with lock:
                        rollbacks.append(max(at for answer, at in seen.items() if answer[0] == second) - moved)
    assert load.failed == []
    assert moves == CYCLES * len(CYCLE)
    assert max(rollbacks) <= ROLLBACK_SECONDS
    record_property("moves", moves)
    record_property("requests", len(load.seconds))
    record_property("slowest_rollback_seconds", round(max(rollbacks), 2))
    record_property("median_ms", round(1e3 * statistics.median(load.seconds), 2))
    record_property("longest_ms", round(1e3 * max(load.seconds), 1))


def test_a_share_that_is_no_share_is_taken_for_none(clean: Mlflow, versions: tuple[str, str]) -> None:
    """Somebody has written into MLflow by hand: a canary without a readable share decides nothing."""
    clean.registry.set_canary_share(1.5)
    clean.registry.set_alias(CANARY, versions[1])
    found = clean.registry.aliases()
    assert found == ServedAliases(found.versions, None)
