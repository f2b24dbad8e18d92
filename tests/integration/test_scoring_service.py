"""The scoring service as it runs: BentoML's server, following the registry of a real MLflow server."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.lmdb_store import LmdbStore
from adapters.model_registry import CHAMPION, ModelRegistry
from adapters.model_tracking import ModelTracking
from adapters.scoring_client import ScoringClient
from adapters.scoring_wire import SCHEMA_HEADER
from adapters.settings import Settings, child_environment, new_api_key
from cardwatch.errors import SchemaMismatch, ScoringUnavailable
from cardwatch.events import Transaction
from cardwatch.features.columns import encode
from cardwatch.features.kernel import fold
from cardwatch.features.reference import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.features.table import FEATURES, REASONS, SCHEMA_HASH
from infra.local.ports import free_ports
from infra.local.servers import mlflow_part
from infra.local.supervisor import Part, Supervisor
from models.detector import Fitted, TrainingSettings, fit_detector

DEADLINE_SECONDS = 60.0
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


class Stack(NamedTuple):
    settings: Settings
    registry: ModelRegistry
    ready_without_champion: httpx.Response
    score_without_champion: str

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.settings.api_key}"}

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.settings.scoring_url + path, headers=self.key, trust_env=False)

    def post(self, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
        return httpx.post(
            self.settings.scoring_url + path, content=content, headers={**self.key, **headers}, trust_env=False
        )

    def register(self, fitted: Fitted, folder: Path) -> str:
        fitted.save(folder)
        facts = fitted.detector.facts
        return ModelTracking(self.settings.mlflow_url).log_model(
            folder, run_name="test", schema_hash=facts.schema_hash, fingerprint=facts.fingerprint
        )

    def promote(self, fitted: Fitted, folder: Path) -> str:
        version = self.register(fitted, folder)
        self.registry.set_alias(CHAMPION, version)
        until(lambda: self.get("/v1/model").json()["version"] == version)
        return version


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("scoring")
    mlflow_port, scoring_port = free_ports(2)
    settings = Settings(
        home=home,
        mlflow_url=f"http://127.0.0.1:{mlflow_port}",
        scoring_url=f"http://127.0.0.1:{scoring_port}",
        api_key=new_api_key(),
    )
    scoring = Part(
        name="scoring",
        command=[sys.executable, "-m", "services.scoring"],
        environment=child_environment(settings),
        ready=lambda: status(f"{settings.scoring_url}/livez") == 200,
        ready_within_seconds=240.0,
    )
    with Supervisor(home) as supervisor:
        supervisor.start(mlflow_part(settings), scoring)
        until(lambda: "has no cardwatch@champion" in httpx.get(f"{settings.scoring_url}/readyz", trust_env=False).text)
        ready = httpx.get(f"{settings.scoring_url}/readyz", trust_env=False)
        scorer = client(settings)
        with pytest.raises(ScoringUnavailable) as refusal:
            scorer.score(rows(1), never(1), schema_hash=SCHEMA_HASH)
        scorer.close()
        registry = ModelRegistry(settings.mlflow_url)
        yield Stack(settings, registry, ready, str(refusal.value))
        registry.close()


@pytest.fixture(scope="module")
def detectors() -> tuple[Fitted, Fitted]:
    return trained(seed=1), trained(seed=2)


def trained(seed: int) -> Fitted:
    features = rows(600, seed)
    is_fraud = np.nan_to_num(features[:, 5 + seed]) > 1.0
    return fit_detector(
        features[:400],
        is_fraud[:400],
        calibration_features=features[400:],
        calibration_is_fraud=is_fraud[400:],
        settings=TrainingSettings(trees=10, depth=3, features_per_tree=1.0, max_bin=64, threads=1),
    )


def rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, len(FEATURES))).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    return values


def client(settings: Settings) -> ScoringClient:
    return ScoringClient(settings, timeout_seconds=30.0)


def never(count: int) -> NDArray[np.float64]:
    """Reasons for no row."""
    return np.full(count, np.inf)


def status(url: str) -> int:
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "not within the deadline"
        time.sleep(0.02)


def same_bits(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_without_a_champion_it_lives_but_is_not_ready_and_says_how_to_get_one(stack: Stack) -> None:
    assert stack.ready_without_champion.status_code == 503
    for message in (stack.ready_without_champion.json()["error"], stack.score_without_champion):
        assert "no champion" in message
        assert "train one with" in message


def test_scores_are_the_detectors_to_the_bit_and_only_probable_rows_get_reasons(
    stack: Stack, detectors: tuple[Fitted, Fitted], tmp_path: Path
) -> None:
    version = stack.promote(detectors[0], tmp_path)
    asked = rows(200, seed=5)
    scorer = client(stack.settings)
    scores = scorer.score(asked, np.full(200, 0.5), schema_hash=SCHEMA_HASH)
    scorer.close()

    detector = detectors[0].detector
    margins = detector.margins(asked)
    assert scores.model_version == version
    assert same_bits(scores.margins, margins)
    assert same_bits(scores.probabilities, detector.probabilities(margins))
    probable = scores.probabilities >= 0.5
    assert 0 < probable.sum() < len(asked)
    assert [bool(codes) for codes in scores.reasons] == probable.tolist()
    assert all(REASONS[6] in codes for codes, is_probable in zip(scores.reasons, probable, strict=True) if is_probable)


def test_a_batch_under_another_schema_or_with_a_ragged_body_is_refused(
    stack: Stack, detectors: tuple[Fitted, Fitted], tmp_path: Path
) -> None:
    stack.promote(detectors[0], tmp_path)
    scorer = client(stack.settings)
    with pytest.raises(SchemaMismatch) as refusal:
        scorer.score(rows(1), never(1), schema_hash="0123")
    scorer.close()
    assert "0123" in str(refusal.value)
    assert SCHEMA_HASH in str(refusal.value)

    for body in (b"", rows(1).tobytes()[:-1]):
        assert stack.post("/invocations", body, **{SCHEMA_HEADER: SCHEMA_HASH}).status_code == 422
    headers = {SCHEMA_HEADER: SCHEMA_HASH, "X-Reasons-Above": "often"}
    assert stack.post("/invocations", rows(1).tobytes(), **headers).status_code == 422


def test_without_the_key_only_health_answers(stack: Stack, detectors: tuple[Fitted, Fitted], tmp_path: Path) -> None:
    stack.promote(detectors[0], tmp_path)
    url = stack.settings.scoring_url
    for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": str(stack.settings.api_key)}):
        for path in ("/invocations", "/v1/score", "/v1/reload"):
            assert httpx.post(url + path, headers=headers, trust_env=False).status_code == 401
        assert httpx.get(url + "/v1/model", headers=headers, trust_env=False).status_code == 401
    for path in ("/ping", "/livez", "/readyz"):
        assert status(url + path) == 200


def test_a_swap_under_load_fails_no_request_and_mixes_no_batch(
    stack: Stack, detectors: tuple[Fitted, Fitted], tmp_path: Path
) -> None:
    old = stack.promote(detectors[0], tmp_path / "old")
    new = stack.register(detectors[1], tmp_path / "new")
    asked = rows(64, seed=9)
    expected = dict(zip((old, new), (fitted.detector.margins(asked).tobytes() for fitted in detectors), strict=True))
    assert expected[old] != expected[new]
    seen: list[str] = []
    wrong: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        scorer = client(stack.settings)
        while not stop.is_set():
            try:
                scores = scorer.score(asked, never(64), schema_hash=SCHEMA_HASH)
            except Exception as error:
                wrong.append(repr(error))
                continue
            seen.append(scores.model_version)
            if scores.margins.tobytes() != expected[scores.model_version]:
                wrong.append("the margins are another model's")
        scorer.close()

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    until(lambda: seen.count(old) >= 50)
    stack.registry.set_alias(CHAMPION, new)
    until(lambda: seen.count(new) >= 50)
    stop.set()
    for caller in callers:
        caller.join()
    assert wrong == []
    assert set(seen) == {old, new}


def test_a_corrupted_model_is_refused_and_the_old_one_goes_on_answering(
    stack: Stack, detectors: tuple[Fitted, Fitted], tmp_path: Path
) -> None:
    old = stack.promote(detectors[0], tmp_path / "old")
    new = stack.register(detectors[1], tmp_path / "new")
    [stored] = (stack.settings.home / "mlflow" / "artifacts").glob(
        f"*/{run_of(stack, new)}/artifacts/detector/model.ubj"
    )
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
    scorer = client(stack.settings)
    found = scorer.score(rows(3), never(3), schema_hash=SCHEMA_HASH)
    assert same_bits(found.margins, detectors[0].detector.margins(rows(3)))
    scorer.close()

    stored.write_bytes(sound)
    assert stack.post("/v1/reload").json() == {
        "version": new, "digest": stack.registry.champion().digest, "refused": None, "problem": None,
        "challenger": None, "challenger_refused": None,
    }  # fmt: skip


def run_of(stack: Stack, version: str) -> str:
    found = stack.registry.version(version)
    assert found is not None
    return found.run_id


def test_a_question_sees_the_stored_state_and_changes_nothing(
    stack: Stack, detectors: tuple[Fitted, Fitted], tmp_path: Path
) -> None:
    stack.promote(detectors[0], tmp_path)
    earlier = msgspec.convert({**TRANSACTION, "transaction_id": "t-0"}, Transaction)
    states, table = empty_states(1), ReferenceTable.empty()
    fold(states, np.zeros(1, np.int64), encode([earlier]), table)
    with LmdbStore(stack.settings.store) as store:
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


def test_a_question_about_a_bad_transaction_names_the_field(stack: Stack) -> None:
    for field, value in (("amount_minor", -1), ("channel", "telepathy"), ("card_id", "4111 1111 1111 1111")):
        answer = stack.post("/v1/score", msgspec.json.encode({**TRANSACTION, field: value}))
        assert (answer.status_code, answer.json()["field"]) == (422, f"$.{field}")
    assert stack.post("/v1/score", b"\xff{").status_code == 422


def test_nothing_that_was_sent_is_in_the_log(stack: Stack) -> None:
    stack.post("/v1/score", msgspec.json.encode({**TRANSACTION, "card_id": "card-not-to-be-logged"}))
    log = (stack.settings.home / "logs" / "scoring.log").read_text()
    assert "not-to-be-logged" not in log
    assert str(stack.settings.api_key) not in log


def test_requests_and_rows_are_counted_on_the_metrics_page(
    stack: Stack, detectors: tuple[Fitted, Fitted], tmp_path: Path
) -> None:
    stack.promote(detectors[0], tmp_path)

    def counted() -> tuple[float, float]:
        text = stack.get("/metrics").text
        return (
            metric(text, 'cardwatch_scoring_requests_total{path="/invocations",status="422"}'),
            metric(text, "cardwatch_scoring_rows_total"),
        )

    scorer = client(stack.settings)
    requests, scored = counted()
    stack.post("/invocations", b"x", **{SCHEMA_HEADER: SCHEMA_HASH})
    scorer.score(rows(7), never(7), schema_hash=SCHEMA_HASH)
    scorer.close()
    assert counted() == (requests + 1, scored + 7)


def metric(page: str, name: str) -> float:
    return next((float(line.split()[-1]) for line in page.splitlines() if line.startswith(name + " ")), 0.0)


def test_a_service_that_is_not_there_or_does_not_answer_in_time_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        settings = Settings(scoring_url=f"http://127.0.0.1:{silent.getsockname()[1]}", api_key=new_api_key())
        nobody = ScoringClient(settings, timeout_seconds=0.2)
        with pytest.raises(ScoringUnavailable, match="does not answer: ConnectError"):
            nobody.score(rows(1), never(1), schema_hash=SCHEMA_HASH)
        nobody.close()
        silent.listen()
        slow = ScoringClient(settings, timeout_seconds=0.2)
        with pytest.raises(ScoringUnavailable, match="does not answer: ReadTimeout"):
            slow.score(rows(1), never(1), schema_hash=SCHEMA_HASH)
        slow.close()
