"""The scoring service in BentoML's server, with the registry of a real MLflow server."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.runtime.settings import Settings, new_api_key
from adapters.scoring.client import ScoringClient
from adapters.scoring.wire_format import REASONS_HEADER, SCHEMA_HEADER, decode_complete_scores
from cardwatch.errors import SchemaMismatch, ScoringUnavailable
from cardwatch.events import Transaction
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.features.kernel import fold
from cardwatch.features.reason_codes import ROUND_AMOUNT_ZEROS
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.registry import CHAMPION
from models.training import FittedDetector
from services.scoring.api.invocations import SCORES_PER_SLICE

TRANSACTION = {
    "transaction_id": "t-1",
    "card_id": "card-1",
    "merchant_id": "merchant-1",
    "occurred_at": "2030-01-05T12:00:00Z",
    "amount_minor": 5_000,
    "currency": "EUR",
    "merchant_category": "5411",
    "channel": "chip",
    "country": "DE",
}

Rows = Callable[..., NDArray[np.float32]]
Stack = Any


def never(count: int) -> NDArray[np.float64]:
    """Return thresholds with which no row gets reasons."""
    return np.full(count, np.inf)


def same_bits(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_without_a_champion_it_is_alive_and_not_ready_and_names_the_command_to_train_one(stack: Stack) -> None:
    assert stack.ready_without_champion.status_code == 503
    for message in (stack.ready_without_champion.json()["error"], stack.score_without_champion):
        assert "no champion" in message
        assert "train one with" in message


def test_scores_equal_the_detector_exactly_and_only_probable_rows_get_reasons(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], rows: Rows, tmp_path: Path
) -> None:
    version = stack.promote(detectors[0], tmp_path / "model")
    asked = rows(200, seed=5)
    scores = stack.score(asked, reasons_above=0.5)

    detector = detectors[0].detector
    margins = detector.margins(asked)
    assert scores.model_version == version
    assert same_bits(scores.margins, margins)
    assert same_bits(scores.probabilities, detector.probabilities(margins))
    probable = scores.probabilities >= 0.5
    assert 0 < probable.sum() < len(asked)
    assert [bool(codes) for codes in scores.reasons] == probable.tolist()
    assert FEATURES[6].name == "amount_zeros"  # what the model has learned
    is_round = probable & (asked[:, 6] >= ROUND_AMOUNT_ZEROS)
    assert 0 < is_round.sum() < probable.sum()
    assert [FEATURES[6].reason in codes for codes in scores.reasons] == is_round.tolist()


def test_rows_have_the_same_scores_however_their_body_is_sent(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], rows: Rows, tmp_path: Path
) -> None:
    stack.promote(detectors[0], tmp_path / "model")
    detector = detectors[0].detector
    for count in (1, SCORES_PER_SLICE, SCORES_PER_SLICE + 1):
        asked = rows(count)
        margins = detector.margins(asked)
        for reasons_above, reasons in ((0.0, detector.reasons(asked)), (np.inf, [[]] * count)):
            headers = {SCHEMA_HEADER: SCHEMA_HASH, REASONS_HEADER: str(reasons_above)}
            # A body of unknown length takes the way through ASGI, like a body that is longer than a slice.
            bodies = (asked.tobytes(), iter([asked.tobytes()]))
            whole, in_parts = (stack.post("/invocations", body, **headers) for body in bodies)
            assert (whole.status_code, in_parts.content) == (200, whole.content)
            scores = decode_complete_scores(whole.content, count, "the service")
            assert same_bits(scores.margins, margins)
            assert same_bits(scores.probabilities, detector.probabilities(margins))
            assert scores.reasons == reasons


def test_a_batch_under_another_schema_or_with_a_ragged_body_is_refused(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], rows: Rows, tmp_path: Path
) -> None:
    stack.promote(detectors[0], tmp_path / "model")
    with stack.client() as scorer, pytest.raises(SchemaMismatch) as refusal:
        scorer.score(rows(1), never(1), schema_hash="0123")
    assert "0123" in str(refusal.value)
    assert SCHEMA_HASH in str(refusal.value)

    for body in (b"", rows(1).tobytes()[:-1]):
        assert stack.post("/invocations", body, **{SCHEMA_HEADER: SCHEMA_HASH}).status_code == 422
    headers = {SCHEMA_HEADER: SCHEMA_HASH, "X-Reasons-Above": "often"}
    assert stack.post("/invocations", rows(1).tobytes(), **headers).status_code == 422


def test_without_the_key_only_health_checks_respond(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], tmp_path: Path
) -> None:
    stack.promote(detectors[0], tmp_path / "model")
    url = stack.settings.scoring_url
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": str(stack.settings.api_key)}):
        for path in ("/invocations", "/v1/score", "/v1/reload"):
            assert httpx.post(url + path, headers=headers, trust_env=False).status_code == 401
        assert httpx.get(url + "/v1/model", headers=headers, trust_env=False).status_code == 401
    for path in ("/ping", "/livez", "/readyz"):
        assert stack.status(path) == 200


def test_a_corrupted_model_is_refused_and_the_previous_one_keeps_serving(
    stack: Stack,
    detectors: tuple[FittedDetector, FittedDetector],
    rows: Rows,
    until: Callable[..., float],
    tmp_path: Path,
) -> None:
    old = stack.promote(detectors[0], tmp_path / "old")
    new = stack.mlflow.register(detectors[1], tmp_path / "new")
    stored = stack.mlflow.stored(new, "model.ubj")
    sound = stored.read_bytes()
    stored.write_bytes(sound[:-1])
    stack.registry.set_alias(CHAMPION, new)

    until(lambda: stack.get("/v1/model").json()["refused"] is not None)
    said = stack.get("/v1/model").json()
    assert said["version"] == old
    assert said["refused"]["version"] == new
    assert "digest" in said["refused"]["reason"]
    ready = stack.get("/readyz")
    assert (ready.status_code, ready.json()["refused"]["version"]) == (200, new)
    assert same_bits(stack.score(rows(3)).margins, detectors[0].detector.margins(rows(3)))

    stored.write_bytes(sound)
    assert stack.post("/v1/reload").json() == {
        "version": new, "digest": stack.registry.champion().digest, "refused": None, "problem": None,
        "candidate": None, "candidate_stage": None, "canary_share": None, "candidate_refused": None,
    }  # fmt: skip


def test_a_preview_uses_the_stored_state_and_changes_nothing(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], rows: Rows, tmp_path: Path
) -> None:
    stack.promote(detectors[0], tmp_path / "model")
    earlier = msgspec.convert({**TRANSACTION, "transaction_id": "t-0"}, Transaction)
    states, table = empty_states(1), ReferenceTable.empty()
    fold(states, np.zeros(1, np.int64), encode([earlier]), table)
    with stack.store() as store:
        store.apply(0, expected=store.applied(0), position=1, card_ids=["card-1"], states=states)
        before = store.cards()
        answers = [stack.post("/v1/score", msgspec.json.encode(TRANSACTION)).json() for _ in range(2)]
        assert store.cards() == before

    asked = msgspec.convert(TRANSACTION, Transaction)
    folded = fold(states, np.zeros(1, np.int64), encode([asked]), table)
    [margin] = detectors[0].detector.margins(folded.features)
    assert answers[0] == answers[1]
    assert answers[0]["sequence"] == 1
    assert np.float32(answers[0]["margin"]) == margin
    assert answers[0]["table_id"] == table.table_id
    assert answers[0]["action"] in ("approve", "challenge", "decline")


def test_an_invalid_transaction_is_refused_with_its_field(stack: Stack) -> None:
    for field, value in (("amount_minor", -1), ("channel", "telepathy"), ("card_id", "4111 1111 1111 1111")):
        answer = stack.post("/v1/score", msgspec.json.encode({**TRANSACTION, field: value}))
        assert (answer.status_code, answer.json()["field"]) == (422, f"$.{field}")
    assert stack.post("/v1/score", b"\xff{").status_code == 422


@pytest.mark.rubric("data-5")
def test_no_request_data_is_in_the_log(stack: Stack) -> None:
    stack.post("/v1/score", msgspec.json.encode({**TRANSACTION, "card_id": "card-not-to-be-logged"}))
    log = stack.log.read_text()
    assert "not-to-be-logged" not in log
    assert str(stack.settings.api_key) not in log


def test_json_logs_have_every_line_of_every_process_once_and_transactions_have_their_id(
    start_scoring: Callable[..., Stack],
    detectors: tuple[FittedDetector, FittedDetector],
    rows: Rows,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stack = start_scoring(log_format="json", log_level="DEBUG")
    version = stack.promote(detectors[0], tmp_path / "model")
    answer = stack.post("/v1/score", msgspec.json.encode({**TRANSACTION, "transaction_id": "asked"})).json()
    with stack.client() as scorer:
        for level, ids in ((logging.INFO, ["untold"]), (logging.DEBUG, ["first, of two\n", "second"])):
            caplog.set_level(level, "adapters.scoring.client")
            scores = scorer.score(rows(len(ids)), never(len(ids)), schema_hash=SCHEMA_HASH, transaction_ids=ids)
    with socket.create_connection(stack.address) as caller:
        caller.sendall(b"this is not HTTP\r\n\r\n")
        assert b"400" in caller.recv(100)
    stack.stop()

    lines = [json.loads(line) for line in stack.log.read_text().splitlines()]
    assert {line["service"] for line in lines} == {"scoring"}
    about = {line["transaction_id"]: line["message"] for line in lines if "transaction_id" in line}
    probabilities = [f"{probability:.4f}" for probability in scores.probabilities]
    assert about.pop("asked").startswith(
        f"answered {answer['action']}, probability {answer['probability']:.4f}, version {version}, sequence 0, "
    )
    assert about == {
        "first, of two\n": f"scored probability {probabilities[0]}, version {version}",
        "second": f"scored probability {probabilities[1]}, version {version}",
    }
    # uvicorn's line, one of BentoML's worker and one of its supervisor.
    for message in ("Invalid HTTP request", "Service cardwatch-scoring initialized", "Starting production HTTP"):
        assert sum(line["message"].startswith(message) for line in lines) == 1


def test_requests_and_rows_are_counted_on_the_metrics_page(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], rows: Rows, tmp_path: Path
) -> None:
    stack.promote(detectors[0], tmp_path / "model")

    def counted() -> tuple[float, float]:
        return (
            stack.metric("cardwatch_scoring_requests_total", path="/invocations", status="422"),
            stack.metric("cardwatch_scoring_rows_total"),
        )

    requests, scored = counted()
    stack.post("/invocations", b"x", **{SCHEMA_HEADER: SCHEMA_HASH})
    stack.score(rows(7))
    assert counted() == (requests + 1, scored + 7)


def test_a_service_that_is_not_running_or_exceeds_the_timeout_is_unavailable(rows: Rows) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        settings = Settings(scoring_url=f"http://127.0.0.1:{silent.getsockname()[1]}", api_key=new_api_key())
        refused = ScoringClient(settings, timeout_seconds=0.2)
        with pytest.raises(ScoringUnavailable, match="does not answer: Failed to connect"):
            refused.score(rows(1), never(1), schema_hash=SCHEMA_HASH)
        refused.close()
        silent.listen()
        slow = ScoringClient(settings, timeout_seconds=0.2)
        with pytest.raises(ScoringUnavailable, match="does not answer: Operation timed out"):
            slow.score(rows(1), never(1), schema_hash=SCHEMA_HASH)
        slow.close()
