"""The contract of `Scorer`, tested on the clients of the scoring service and of a SageMaker endpoint.

Both clients use real processes.
"""

from __future__ import annotations

import logging
import time
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from cardwatch.errors import NoModelServed, SchemaMismatch, ScorerBusy, ScoringUnavailable
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from models.training import FittedDetector

VERSION = "2"
Serving = Any


class Served(NamedTuple):
    """A service with a model, and the errors of scorers before it had one."""

    serving: Serving
    without_a_model: NoModelServed
    ping_without_a_model: httpx.Response


@pytest.fixture(scope="module", params=["service", "container"])
def served(request: pytest.FixtureRequest, fitted: FittedDetector) -> Served:
    serving = request.getfixturevalue(request.param)
    with serving.open_scorer(30.0) as scorer, pytest.raises(NoModelServed) as refusal:
        scorer.score(rows(1), np.zeros(1), schema_hash=SCHEMA_HASH)
    ping = serving.get("/ping")
    serving.serve(fitted.files, VERSION)
    return Served(serving, refusal.value, ping)


def rows(count: int) -> NDArray[np.float32]:
    """Return rows with a tenth of the values missing."""
    random = np.random.default_rng(5)
    values = random.normal(size=(count, len(FEATURES))).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    return values


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_scores_equal_the_detector_exactly_and_each_row_has_its_threshold_for_reasons(
    served: Served, fitted: FittedDetector
) -> None:
    asked = rows(200)
    thresholds = np.where(np.arange(200) % 2, 0.5, np.inf)
    with served.serving.open_scorer(30.0) as scorer:
        scores = scorer.score(asked, thresholds, schema_hash=SCHEMA_HASH)
    margins = fitted.detector.margins(asked)
    assert same_bits(scores.margins, margins)
    assert same_bits(scores.probabilities, fitted.detector.probabilities(margins))
    assert (scores.model_version, scores.shadow) == (VERSION, None)
    wanted = scores.probabilities >= thresholds
    assert 0 < wanted.sum() < 100
    reasons = fitted.detector.reasons(asked)
    assert scores.reasons == [reasons[row] if wanted[row] else [] for row in range(200)]


def test_a_scorer_can_be_used_repeatedly(served: Served) -> None:
    with served.serving.open_scorer(30.0) as scorer:
        answers = [scorer.score(rows(3), np.zeros(3), schema_hash=SCHEMA_HASH) for _ in range(5)]
    assert len({answer.margins.tobytes() for answer in answers}) == 1


def test_rows_of_another_schema_are_refused_with_both_hashes(served: Served) -> None:
    with served.serving.open_scorer(30.0) as scorer, pytest.raises(SchemaMismatch) as refusal:
        scorer.score(rows(1), np.zeros(1), schema_hash="0" * len(SCHEMA_HASH))
    assert "0" * len(SCHEMA_HASH) in str(refusal.value)
    assert SCHEMA_HASH in str(refusal.value)


def test_a_damaged_model_is_not_served_and_caller_and_health_check_get_the_reason(served: Served) -> None:
    assert served.ping_without_a_model.status_code == 503
    for said in (str(served.without_a_model), served.ping_without_a_model.text):
        assert "no champion: version 1 in " in said
        assert "its version.json says" in said


def test_invalid_rows_are_refused(served: Served) -> None:
    infinite = np.full((1, len(FEATURES)), np.inf, np.float32)
    with served.serving.open_scorer(30.0) as scorer, pytest.raises(ScoringUnavailable, match="infinite") as refusal:
        scorer.score(infinite, np.zeros(1), schema_hash=SCHEMA_HASH)
    assert type(refusal.value) is ScoringUnavailable


def test_a_response_after_the_timeout_is_not_awaited(served: Served) -> None:
    asked = rows(20_000)  # each with reasons: at ten microseconds a row, twenty times the deadline
    with served.serving.open_scorer(0.01) as scorer:
        begin = time.perf_counter()
        with pytest.raises(ScoringUnavailable) as refusal:
            scorer.score(asked, np.zeros(len(asked)), schema_hash=SCHEMA_HASH)
    assert type(refusal.value) in (ScoringUnavailable, ScorerBusy)  # by whom the deadline is noticed first
    assert time.perf_counter() - begin < 2.0  # of them most is to send that much


def test_at_debug_the_service_logs_the_transactions_and_the_scores_are_the_same(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "adapters")
    ids = [f"transaction-{number}-\u20ac" for number in range(1_000)]
    with served.serving.open_scorer(30.0) as scorer:
        named = scorer.score(rows(1_000), np.full(1_000, np.inf), schema_hash=SCHEMA_HASH, transaction_ids=ids)
        nameless = scorer.score(rows(1_000), np.full(1_000, np.inf), schema_hash=SCHEMA_HASH)
    assert named.margins.tobytes() == nameless.margins.tobytes()
