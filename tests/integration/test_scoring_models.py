"""Models that are swapped, shadowed and refused while the scoring service answers requests."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cardwatch.detector.detector import FACTS_FILE, TREES_FILE
from cardwatch.detector.trees.flat import NODE, FlatTrees
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import CHAMPION, SHADOW
from tests.integration.scoring_load import (
    BATCH,
    CLIENTS,
    SWAPS,
    Detectors,
    Load,
    Record,
    Rows,
    Scored,
    Stack,
    Until,
    expected_margins,
    margin_bytes,
    preview_features,
)


@pytest.mark.rubric("infra-7")
def test_of_twenty_swaps_under_load_no_request_fails_and_no_answer_mixes_two_models(
    stack: Stack, detectors: Detectors, versions: tuple[str, str], rows: Rows, until: Until, record_property: Record
) -> None:
    stack.make_champion(versions[0])
    batch = rows(BATCH, seed=9)
    expected_batches = expected_margins(versions, detectors, batch)
    expected_previews = expected_margins(versions, detectors, preview_features(stack))
    load = Load()

    def is_of_one_model(answer: Scored) -> bool:
        return answer.status == 200 and margin_bytes(answer) == expected_previews[answer.body["model_version"]]

    def versions_seen() -> list[list[str]]:
        return [*load.batches, [answer.body.get("model_version", "none") for answer in load.answers]]

    clients = [load.scoring(stack, batch, expected_batches) for _ in range(CLIENTS)]
    with load.under(*clients, load.previews(stack, is_of_one_model)):
        until(lambda: all(versions_seen()), "answers by the first one")
        for swap in range(1, SWAPS + 1):
            new = versions[swap % 2]
            stack.registry.set_alias(CHAMPION, new)
            stack.post("/v1/reload")

            def is_taken(new: str = new) -> bool:
                return {seen[-1] for seen in versions_seen()} == {new}

            until(is_taken, f"swap {swap} is seen by all")
    assert load.failed == []
    for seen in versions_seen():
        assert sum(one != next_one for one, next_one in pairwise(seen)) == SWAPS  # never back to the former one
    requests = load.done + len(load.answers)
    record_property("swaps", SWAPS)
    record_property("requests", requests)
    record_property("longest_ms", round(1e3 * max(load.seconds), 1))
    record_property("median_ms", round(1e3 * statistics.median(load.seconds), 2))


@pytest.fixture
def duel(stack: Stack, versions: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """The version of the champion and another one. Afterwards there is no candidate."""
    stack.make_champion(versions[0])
    yield versions
    stack.mlflow.drop_candidate()


def test_the_version_in_shadow_scores_the_same_rows_until_it_is_promoted(
    stack: Stack, detectors: Detectors, duel: tuple[str, str], rows: Rows
) -> None:
    champion, challenger = duel
    batch = rows(BATCH, seed=3)
    margins = [fitted.detector.margins(batch) for fitted in detectors]
    assert stack.score(batch).shadow is None

    stack.registry.set_alias(SHADOW, challenger)
    assert stack.post("/v1/reload").json()["candidate"] == challenger
    scores = stack.score(batch)
    assert (scores.model_version, scores.margins.tobytes()) == (champion, margins[0].tobytes())
    assert (scores.shadow.model_version, scores.shadow.margins.tobytes()) == (challenger, margins[1].tobytes())
    assert scores.shadow.probabilities.tobytes() == detectors[1].detector.probabilities(margins[1]).tobytes()
    assert scores.shadow.model_digest == stack.registry.version(challenger).digest

    stack.registry.set_alias(CHAMPION, challenger)
    assert stack.post("/v1/reload").json()["version"] == challenger
    scores = stack.score(batch)
    assert (scores.model_version, scores.margins.tobytes()) == (challenger, margins[1].tobytes())
    assert scores.shadow is None

    stack.registry.set_alias(SHADOW, champion)
    stack.post("/v1/reload")
    assert stack.score(batch).shadow.margins.tobytes() == margins[0].tobytes()


def random_trees(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, TREES_FILE: np.random.default_rng(1).bytes(len(files[TREES_FILE]))}


def trees_with_invalid_pointers(files: dict[str, bytes]) -> dict[str, bytes]:
    """A well-formed file whose first split points behind the last node."""
    trees = FlatTrees.from_bytes(files[TREES_FILE])
    nodes = np.array(trees.nodes, NODE)
    nodes["left"][0] = 2**30
    return {**files, TREES_FILE: trees._replace(nodes=nodes).to_bytes()}


def a_falling_calibration(files: dict[str, bytes]) -> dict[str, bytes]:
    facts = msgspec.json.decode(files[FACTS_FILE])
    facts["calibration"]["probabilities"].reverse()
    return {**files, FACTS_FILE: msgspec.json.encode(facts)}


def facts_nested_too_deeply(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, FACTS_FILE: b'{"comment":' + b"[" * 100_000 + b"]" * 100_000 + b"}"}


def no_trees(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != TREES_FILE}


def another_schema(files: dict[str, bytes]) -> dict[str, bytes]:
    facts = msgspec.json.decode(files[FACTS_FILE])
    return {**files, FACTS_FILE: msgspec.json.encode({**facts, "schema_hash": "0123456789abcdef"})}


INVALID_MODELS = [
    (random_trees, "the flat trees cannot be read"),
    (trees_with_invalid_pointers, "node 0 of the flat trees is invalid"),
    (a_falling_calibration, "detector.json cannot be read: a calibration table must rise"),
    (facts_nested_too_deeply, "detector.json cannot be read: maximum recursion depth"),
    (no_trees, f"the detector has no {TREES_FILE}"),
    (another_schema, f"the model needs features of schema 0123456789abcdef, this code computes {SCHEMA_HASH}"),
]


@pytest.mark.parametrize(("make_invalid", "reason"), INVALID_MODELS, ids=lambda value: getattr(value, "__name__", ""))
def test_an_invalid_model_with_the_right_digest_is_refused_in_every_role_and_nothing_else_changes(
    stack: Stack,
    detectors: Detectors,
    duel: tuple[str, str],
    rows: Rows,
    make_invalid: Callable[[dict[str, bytes]], dict[str, bytes]],
    reason: str,
    tmp_path: Path,
) -> None:
    champion, _ = duel
    invalid = stack.mlflow.register(make_invalid(detectors[1].files), tmp_path / "invalid")
    workers = stack.workers()
    expected = detectors[0].detector.margins(rows(5)).tobytes()

    stack.registry.set_alias(SHADOW, invalid)
    status = stack.post("/v1/reload").json()
    assert (status["version"], status["candidate"], status["refused"]) == (champion, None, None)
    assert status["candidate_refused"]["version"] == invalid
    assert re.search(reason, status["candidate_refused"]["reason"])
    scores = stack.score(rows(5))
    assert (scores.model_version, scores.margins.tobytes(), scores.shadow) == (champion, expected, None)

    stack.registry.set_alias(CHAMPION, invalid)
    status = stack.post("/v1/reload").json()
    assert (status["version"], status["refused"]["version"]) == (champion, invalid)
    assert re.search(reason, status["refused"]["reason"])
    ready = stack.get("/readyz")
    assert (ready.status_code, ready.json()["version"], ready.json()["refused"]["version"]) == (200, champion, invalid)
    assert stack.score(rows(5)).margins.tobytes() == expected
    assert stack.workers() == workers
