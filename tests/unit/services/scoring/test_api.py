"""The scoring service's own code without a server: real endpoints over a real detector and store, asked as ASGI."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from uvicorn import Config
from uvicorn.server import ServerState

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import LmdbStore, data_file
from adapters.scoring.api_keys import KeyRing, KeyScope, RateLimit, add_key
from adapters.scoring.wire_format import (
    ATTRIBUTES_HEADER,
    BINARY,
    CSV,
    DEADLINE_HEADER,
    IDS_HEADER,
    JSON,
    MSGPACK,
    PER_ROW,
    REASONS_HEADER,
    SCHEMA_HEADER,
    decode_scores,
    encode_rows,
)
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.detector.detector import digest_of
from cardwatch.errors import CorruptTable, NoChampion, RegistryUnavailable, StoreUnavailable
from cardwatch.events import EPOCH, Action, Channel, Decision, Transaction, encode, utc_day
from cardwatch.features.columns import card_index
from cardwatch.features.columns import encode as kernel_rows
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH, column
from cardwatch.features.hashing import known_identity_hash
from cardwatch.features.kernel import fold
from cardwatch.features.reason_codes import REASON_TEXTS
from cardwatch.features.reference_table import MERCHANT_VALUES, WINDOW_DAYS, ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.ports import Scores
from cardwatch.records import Record
from cardwatch.registry import CHAMPION, ModelVersion
from cardwatch.topics import TRANSACTIONS
from models.training import FittedDetector, TrainingSettings, fit_detector
from services.scoring.api.card_states import BACKOFF_SECONDS, CardStateReader
from services.scoring.api.endpoints import (
    MAX_FEATURES_BYTES,
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTIONS,
    ScoringApi,
)
from services.scoring.api.invocations import MAX_ROWS
from services.scoring.api.preview import PreviewScorer
from services.scoring.http.admission import MAX_PENDING_REMOTE, Admission
from services.scoring.http.routes import ARRIVAL_TIME, HttpError, Request, Response, Routes
from services.scoring.http.timeout_protocol import SWEEP_SECONDS, TIMEOUT_SECONDS, TimeoutProtocol
from services.scoring.metrics import ScoringMetrics, remove_dead_worker_gauges
from services.scoring.model.manager import ModelManager
from services.scoring.openapi.documentation import documentation_endpoints, openapi
from services.stream.batch import fold_batch
from services.stream.decision_engine import DecisionEngine

OWN = "key-of-the-stack"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CARDS = 12
TREES = 8
POLICY = DecisionPolicy()


# What is asked about


def payments(count: int, seed: int, prefix: str = "t", start: datetime = NOON) -> list[Transaction]:
    """A payment every minute, of a few cards, with amounts of every size."""
    random = np.random.default_rng(seed)
    return [
        Transaction(
            transaction_id=f"{prefix}-{number}",
            card_id=f"card-{random.integers(CARDS)}",
            merchant_id=f"merchant-{random.integers(20)}",
            occurred_at=start + timedelta(minutes=number),
            amount_minor=int(10 ** random.uniform(2, 6)),
            currency="EUR",
            merchant_category=("5411", "5732", "6011")[random.integers(3)],
            channel=list(Channel)[random.integers(len(Channel))],
            country=("DE", "FR", "US")[random.integers(3)],
        )
        for number in range(count)
    ]


HISTORY = payments(300, seed=1)
QUESTIONS = payments(60, seed=2, prefix="q", start=NOON + timedelta(hours=6))
QUESTIONS[-1] = msgspec.structs.replace(QUESTIONS[-1], amount_minor=10**8)  # what also the rules would challenge
FIRST = encode(QUESTIONS[0])


def folded(transactions: Sequence[Transaction], table: ReferenceTable | None = None) -> NDArray[np.float32]:
    """Their features, in the order of the log."""
    cards, index = card_index([transaction.card_id for transaction in transactions])
    return fold(empty_states(len(cards)), index, kernel_rows(transactions), table or ReferenceTable.empty()).features


def rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Feature rows with a third of the values missing."""
    values = folded(payments(count, seed)).copy()
    values[np.random.default_rng(seed).random(values.shape) < 0.3] = np.nan
    return values


@pytest.fixture(scope="module")
def fitted() -> FittedDetector:
    """Knows that large amounts far from the card's habits are fraud, and is not too sure of it."""
    train, calibrate = payments(2_000, seed=3), payments(2_000, seed=4)

    def frauds(features: NDArray[np.float32], seed: int) -> NDArray[np.bool_]:
        amount = np.nan_to_num(features[:, column("amount")])
        return np.random.default_rng(seed).random(len(amount)) < np.clip(amount / 8_000.0, 0.0, 0.98)

    features = folded(train), folded(calibrate)
    return fit_detector(
        features[0],
        frauds(features[0], 5),
        calibration_features=features[1],
        calibration_is_fraud=frauds(features[1], 6),
        settings=TrainingSettings(trees=TREES, depth=4, features_per_tree=1.0, max_bin=256, learning_rate=0.3),
    )


# The service


class Published:
    """A registry in memory. `away`: it does not answer."""

    def __init__(self) -> None:
        self.pointers: dict[str, str] = {}
        self._versions: dict[str, tuple[ModelVersion, dict[str, bytes]]] = {}
        self.away = False

    def publish(self, files: dict[str, bytes], *roles: str) -> str:
        number = str(len(self._versions) + 1)
        version = ModelVersion(version=number, run_id="", tags={"digest": digest_of(files), "schema_hash": SCHEMA_HASH})
        self._versions[number] = version, files
        self.pointers |= dict.fromkeys(roles, number)
        return number

    def aliases(self) -> dict[str, str]:
        if self.away:
            raise RegistryUnavailable("the registry is away")
        return self.pointers

    def no_champion(self) -> NoChampion:
        return NoChampion("there is no champion")

    def version(self, number: str) -> ModelVersion:
        return self._versions[number][0]

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        return self._versions[version.version][1]

    def close(self) -> None:
        pass


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiving:
    """A request's body as it comes, in these parts; after the last one, if it is not `whole`, the caller hangs up."""

    def __init__(self, parts: Sequence[bytes], *, whole: bool = True) -> None:
        self._messages = [
            {"type": "http.request", "body": part, "more_body": not whole or place + 1 < len(parts)}
            for place, part in enumerate(parts)
        ]
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        return self._messages.pop(0) if self._messages else {"type": "http.disconnect"}


async def answer_of(
    routes: Routes, method: str, path: str, receive: Any, headers: Mapping[str, str], **scope: object
) -> Reply:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await routes.handle({"method": method, "path": path, "headers": pairs, **scope}, receive, send)
    start, body = sent
    return Reply(start["status"], dict(start["headers"]), body["body"])


class Service:
    """The endpoints of one worker with the card states after `HISTORY`."""

    def __init__(self, folder: Path, metrics: ScoringMetrics, store: LmdbStore, fitted: FittedDetector) -> None:
        self.folder, self.metrics, self.store, self.detector = folder, metrics, store, fitted.detector
        self.tables, self.registry = ReferenceTableStore(folder / "tables"), Published()
        self.registry.publish(fitted.files, CHAMPION)
        self.manager = ModelManager(self.registry, folder / "models")  # type: ignore[arg-type]
        self.manager.refresh()
        self.keys = {scope: self._add(scope.value, scope) for scope in KeyScope}
        self.slow_key = self._add("slow", *KeyScope, rate=1e-3)
        self.use(CardStateReader(lambda: store, data_file(folder / "store"), time.monotonic))

    def use(self, states: CardStateReader) -> None:
        admission = Admission(KeyRing(OWN, self.folder / "keys"), RateLimit(), 10_000, self.metrics.count_shed)
        self.api = ScoringApi(self.manager, PreviewScorer(states, self.tables, POLICY), admission, self.metrics)
        self.routes = Routes(self.api.endpoints() | documentation_endpoints(), self.metrics)

    def _add(self, name: str, *scopes: KeyScope, rate: float | None = None) -> str:
        return str(add_key(self.folder / "keys", name=name, scopes=scopes, rate_per_second=rate, created_at=NOON)[0])

    def ask(
        self, method: str, path: str, body: bytes = b"", *, key: str | None = OWN, late: bool = False, **headers: str
    ) -> Reply:
        return asyncio.run(self.ask_soon(method, path, body, key=key, late=late, **headers))

    async def ask_soon(
        self, method: str, path: str, body: bytes = b"", *, key: str | None = OWN, late: bool = False, **headers: str
    ) -> Reply:
        """`late`: the request has been waiting for longer than its caller wants to."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["Authorization"] = f"Bearer {key}"
        scope = {}
        if late:
            named[DEADLINE_HEADER], scope[ARRIVAL_TIME] = "1", time.perf_counter() - 1.0
        return await answer_of(self.routes, method, path, Receiving([body]), named, **scope)

    def score(self, transaction: Transaction) -> Any:
        reply = self.ask("POST", "/v1/score", encode(transaction))
        assert reply.status == 200, reply
        return reply.json

    def score_batch(self, transactions: Sequence[Transaction]) -> list[Any]:
        reply = self.ask("POST", "/v1/score/batch", msgspec.json.encode(transactions))
        assert reply.status == 200, reply
        answers: list[Any] = reply.json
        return answers

    def invoke(self, body: bytes, content_type: str, **headers: str) -> Reply:
        schema = {} if "schema" in headers else {SCHEMA_HEADER: SCHEMA_HASH}
        reply = self.ask("POST", "/invocations", body, Content_Type=content_type, **schema, **headers)
        assert reply.status == 200, reply
        return reply

    def decide(self, transactions: Sequence[Transaction]) -> list[Decision]:
        """What the stream worker decides about them as the next ones of the log."""
        records = [
            Record(TRANSACTIONS, 0, offset, 0, transaction.card_id.encode(), encode(transaction))
            for offset, transaction in enumerate(transactions)
        ]
        batch = fold_batch(self.store, self.tables, 0, 0, records)
        return DecisionEngine(ByInvocations(self), POLICY, lambda: 1e12).decide([batch]).decisions


class ByInvocations:
    """The stream worker's scorer, over the service's endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def score(
        self,
        asked: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        headers = {REASONS_HEADER: PER_ROW, SCHEMA_HEADER: schema_hash, "Content-Type": BINARY}
        reply = self._service.ask("POST", "/invocations", encode_rows(asked, reasons_above), **headers)
        assert reply.status == 200, reply
        return decode_scores(reply.body)


@pytest.fixture(scope="module")
def metrics() -> ScoringMetrics:
    return ScoringMetrics()


@pytest.fixture
def service(tmp_path: Path, metrics: ScoringMetrics, fitted: FittedDetector) -> Iterator[Service]:
    cards, index = card_index([transaction.card_id for transaction in HISTORY])
    states = empty_states(len(cards))
    fold(states, index, kernel_rows(HISTORY), ReferenceTable.empty())
    with LmdbStore(tmp_path / "store") as store:
        store.apply(0, expected=0, position=len(HISTORY), card_ids=cards, states=states)
        yield Service(tmp_path, metrics, store, fitted)


# Every documented answer


class Case(NamedTuple):
    """How to get an answer. `twice`: it is the second of two."""

    status: int
    method: str
    path: str
    body: bytes = b""
    key: str = "own"
    headers: dict[str, str] = {}  # noqa: RUF012 (of a tuple, never changed)
    late: bool = False
    twice: bool = False
    has_champion: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


def recorded_row(schema_hash: str = SCHEMA_HASH) -> bytes:
    return msgspec.json.encode({"features": [None] * len(FEATURES), "feature_schema": schema_hash})


def json_rows(schema_hash: str = SCHEMA_HASH) -> bytes:
    return msgspec.json.encode({"instances": [[None] * len(FEATURES)], "feature_schema": schema_hash})


WITH_BODY: dict[str, tuple[bytes, int, dict[str, str]]] = {
    "/v1/score": (FIRST, MAX_TRANSACTION_BYTES, {}),
    "/v1/score/batch": (b"[" + FIRST + b"]", MAX_TRANSACTIONS * 1_024, {}),
    "/v1/explain": (FIRST, MAX_TRANSACTION_BYTES, {}),
    "/v1/explain/features": (recorded_row(), MAX_FEATURES_BYTES, {}),
    "/invocations": (json_rows(), MAX_ROWS * 25 * len(FEATURES), {"Content-Type": JSON}),
}
"""A body that is taken, how long one may be, and the headers that it needs."""
FOR_ADMINS = {"/v1/model": "GET", "/v1/reload": "POST"}
FOR_EVERYBODY = ("/ping", "/readyz", "/livez")


def cases() -> Iterator[Case]:
    for path, (body, most, headers) in WITH_BODY.items():
        good = Case(200, "POST", path, body, headers=headers)
        yield good
        yield good._replace(status=400, headers={**headers, DEADLINE_HEADER: "soon"})
        yield good._replace(status=401, key="none")
        yield good._replace(status=403, key="admin")
        yield good._replace(status=405, method="PUT")
        yield good._replace(status=413, body=b" " * (most + 1))
        yield good._replace(status=422, body=b"{}")
        yield good._replace(status=429, key="slow", twice=True)
        yield good._replace(status=503, late=True)
    yield Case(409, "POST", "/v1/explain/features", recorded_row("0123"))
    yield Case(409, "POST", "/invocations", json_rows("0123"), headers={"Content-Type": JSON})
    yield Case(415, "POST", "/invocations", json_rows(), headers={"Content-Type": "text/html"})
    for path, method in FOR_ADMINS.items():
        yield Case(200, method, path)
        yield Case(401, method, path, key="none")
        yield Case(403, method, path, key="score")
        yield Case(405, "DELETE", path)
    for path in FOR_EVERYBODY:
        yield Case(200, "GET", path, key="none")
        yield Case(405, "POST", path, key="none")
    for path in ("/ping", "/readyz"):
        yield Case(503, "GET", path, key="none", has_champion=False)


CASES = tuple(cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_as_documented(service: Service, case: Case) -> None:
    if not case.has_champion:
        service.registry.pointers = {}
        service.manager = ModelManager(service.registry, service.folder / "empty")  # type: ignore[arg-type]
        service.manager.refresh()
        service.use(CardStateReader(lambda: service.store, None, time.monotonic))
    keys = {"own": OWN, "none": None, "slow": service.slow_key, "admin": service.keys[KeyScope.ADMIN]}
    key = {**keys, "score": service.keys[KeyScope.SCORE]}[case.key]
    for _ in range(1 + case.twice):
        reply = service.ask(case.method, case.path, case.body, key=key, late=case.late, **case.headers)
    assert reply.status == case.status
    assert reply.headers[b"content-type"] == b"application/json"
    assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
    if case.status != 200:
        assert reply.json["error"]
        assert (b"retry-after" in reply.headers) == (case.status in (429, 503))
        assert (b"www-authenticate" in reply.headers) == (case.status == 401)
        assert (b"allow" in reply.headers) == (case.status == 405)
        assert (reply.headers.get(b"connection") == b"close") == (case.status == 413)


def test_exactly_the_answers_that_are_reached_are_documented() -> None:
    documented = {
        (path, int(status))
        for path, operations in openapi()["paths"].items()
        for operation in operations.values()
        for status in operation["responses"]
    }
    reached = {(case.path, case.status) for case in CASES}
    by_an_error_of_ours = {(path, 500) for path, _ in reached}
    assert documented == reached | by_an_error_of_ours


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        KeyError("secret"),
        RecursionError("secret"),
        MemoryError("secret"),
        ZeroDivisionError("secret"),
        UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
        ExceptionGroup("secret", [OSError("secret")]),
        StopAsyncIteration("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_an_endpoint_raises_is_an_answer_and_nothing_that_was_sent_is_logged(
    metrics: ScoringMetrics, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(request: Request) -> Response:
        await request.body(1_000)
        raise error

    paths = [*WITH_BODY, *FOR_ADMINS, *FOR_EVERYBODY]
    routes = Routes({("POST", path): breaks for path in paths}, metrics)
    with caplog.at_level(logging.DEBUG):
        for path in paths:
            reply = asyncio.run(answer_of(routes, "POST", path, Receiving([b"secret"]), {"Authorization": "secret"}))
            assert (reply.status, reply.json) == (500, {"error": f"internal error: {type(error).__name__}"})
            assert f"{path} failed: {type(error).__name__} in breaks, {__file__}:" in caplog.text
    assert "secret" not in caplog.text


def test_an_error_of_ours_without_a_status_of_its_own_is_500_with_what_it_says(metrics: ScoringMetrics) -> None:
    async def breaks(_: Request) -> Response:
        raise CorruptTable("the table is damaged")

    reply = asyncio.run(answer_of(Routes({("GET", "/"): breaks}, metrics), "GET", "/", Receiving([b""]), {}))
    assert (reply.status, reply.json) == (500, {"error": "the table is damaged"})


# Bodies


@pytest.mark.parametrize(
    "parts",
    [[b"abcdef"], [b"abc", b"def"], [b"", b"abcdef", b""], [bytes([byte]) for byte in b"abcdef"]],
    ids=["one", "two", "empty ones", "bytes"],
)
def test_a_body_is_the_sum_of_its_parts(parts: list[bytes]) -> None:
    receive = Receiving(parts)
    assert asyncio.run(Request({"headers": []}, receive).body(6)) == b"abcdef"
    assert receive.taken == len(parts)


def refused(receive: Receiving, max_bytes: int, declared: str | None = None) -> HttpError:
    headers = [] if declared is None else [(b"content-length", declared.encode())]
    with pytest.raises(HttpError) as refusal:
        asyncio.run(Request({"headers": headers}, receive).body(max_bytes))
    return refusal.value


def test_a_body_that_is_too_large_is_not_read_on() -> None:
    for parts, taken in (([b"abcdef"], 1), ([b"abc", b"def", b"ghi"], 2), ([b"a"] * 9, 6)):
        receive = Receiving(parts)
        assert refused(receive, max_bytes=5).status == 413
        assert receive.taken == taken
    for declared in ("6", "9" * 400):
        receive = Receiving([b"abcdef"])
        assert refused(receive, 5, declared).status == 413
        assert receive.taken == 0


def test_half_a_body_is_nobodys_request() -> None:
    for parts in ([], [b"abc"], [b"abc", b""]):
        refusal = refused(Receiving(parts, whole=False), max_bytes=100)
        assert (refusal.status, str(refusal)) == (400, "the connection was closed before the request was whole")


# Rows


def as_json(asked: NDArray[np.float32], **further: object) -> bytes:
    values = [[None if np.isnan(value) else value for value in row] for row in asked.astype(np.float64).tolist()]
    return msgspec.json.encode({"instances": values, "feature_schema": SCHEMA_HASH, **further})


def as_csv(asked: NDArray[np.float32], missing: str = "") -> bytes:
    lines = (",".join(missing if np.isnan(value) else repr(float(value)) for value in row) for row in asked)
    return "\n".join(lines).encode()


def margins_of(reply: Reply) -> bytes:
    kind = reply.headers[b"content-type"].decode()
    if kind == MSGPACK:
        return decode_scores(reply.body).margins.tobytes()
    if kind == JSON:
        return np.array(reply.json["margins"], np.float64).astype(np.float32).tobytes()
    assert kind == CSV
    lines = reply.body.decode().splitlines()
    return np.array([float(line.split(",")[0]) for line in lines], np.float64).astype(np.float32).tobytes()


def test_rows_in_whatever_form_get_the_detectors_margins_to_the_bit_and_what_is_missing_is_missing_in_each(
    service: Service,
) -> None:
    asked = rows(100, seed=7)
    expected = service.detector.margins(asked).tobytes()
    assert np.isnan(asked).any(axis=1).all()
    forms = {BINARY: [encode_rows(asked)], JSON: [as_json(asked)], CSV: [as_csv(asked), as_csv(asked, " nan ")]}
    for content_type, bodies in forms.items():
        for body in bodies:
            assert margins_of(service.invoke(body, content_type)) == expected
            for accepted in (MSGPACK, JSON, CSV):
                assert margins_of(service.invoke(body, content_type, Accept=f"text/html, {accepted};q=0.9")) == expected


def test_rows_get_reasons_exactly_from_their_own_threshold_on(service: Service) -> None:
    asked = rows(64, seed=8)
    probabilities = service.detector.probabilities(service.detector.margins(asked))
    reached = np.arange(len(asked)) % 2 == 0
    thresholds = np.where(reached, probabilities, np.nextafter(probabilities, 2.0))
    all_reasons = service.detector.reasons(asked)
    assert all(all_reasons)
    expected = [codes if is_reached else [] for codes, is_reached in zip(all_reasons, reached, strict=True)]
    binary = encode_rows(asked, thresholds)
    in_json = as_json(asked, reasons_above=thresholds.tolist())
    assert decode_scores(service.invoke(binary, BINARY, **{REASONS_HEADER: PER_ROW}).body).reasons == expected
    assert service.invoke(in_json, JSON).json["reasons"] == expected

    middle = float(np.median(probabilities))
    for_all = [codes if p >= middle else [] for codes, p in zip(all_reasons, probabilities, strict=True)]
    said = {ATTRIBUTES_HEADER: f"Feature-Schema = {SCHEMA_HASH} ; reasons-above={middle!r}"}
    by_attributes = service.invoke(as_csv(asked), CSV, schema="in the attributes", **said)
    assert [line.split(",")[2].split("|") for line in by_attributes.body.decode().splitlines()] == [
        codes or [""] for codes in for_all
    ]
    assert service.invoke(as_json(asked, reasons_above=middle), JSON).json["reasons"] == for_all
    assert service.invoke(as_json(asked), JSON).json["reasons"] == [[] for _ in asked]


def test_the_longest_batch_is_taken_and_one_row_more_is_not(service: Service) -> None:
    asked = np.zeros((MAX_ROWS + 1, len(FEATURES)), np.float32)
    assert len(margins_of(service.invoke(encode_rows(asked[:-1]), BINARY))) == 4 * MAX_ROWS
    schema = {SCHEMA_HEADER: SCHEMA_HASH}
    assert service.ask("POST", "/invocations", encode_rows(asked), **schema).status == 413


# Questions


def expected_answer(decision: Decision) -> dict[str, Any]:
    """What a question must say to be what the stream worker decides."""
    return {
        "transaction_id": decision.transaction.transaction_id,
        "sequence": decision.sequence,
        "table_id": decision.table_id,
        "model_version": decision.model_version,
        "model_digest": decision.model_digest,
        "policy_version": decision.policy_version,
        "margin": decision.margin,
        "probability": decision.probability,
        "action": decision.action.value,
        "reasons": decision.reasons,
        "degraded": decision.degraded,
        "degraded_reason": decision.degraded_reason,
        "repeated": False,
    }


def table_of(day: date) -> ReferenceTable:
    """Some merchants' values, valid from `day`."""
    random = np.random.default_rng(11)
    hashes = np.sort(np.array([known_identity_hash(f"merchant-{number}") for number in range(15)], np.uint64))
    values = random.uniform(0.5, 20.0, (len(hashes), len(MERCHANT_VALUES))).astype(np.float32)
    return ReferenceTable((day - EPOCH.date()).days, hashes, values)


@pytest.mark.parametrize(
    ("table_age_days", "actions", "is_degraded"),
    [
        (None, set(Action), False),
        (0, set(Action), False),
        (WINDOW_DAYS - 1, set(Action), False),
        (WINDOW_DAYS, {Action.APPROVE, Action.CHALLENGE}, True),
    ],
)
def test_a_question_is_answered_as_the_stream_would_decide_by_model_or_by_rules(
    service: Service, table_age_days: int | None, actions: set[Action], is_degraded: bool
) -> None:
    if table_age_days is not None:
        service.tables.put(table_of(utc_day(QUESTIONS[0].occurred_at) - timedelta(days=table_age_days)))
    alone = [service.decide([question])[0] for question in QUESTIONS]
    assert {decision.action for decision in alone} == actions
    assert {decision.degraded for decision in alone} == {is_degraded}
    assert all(bool(decision.reasons) == (decision.action is not Action.APPROVE) for decision in alone)
    assert [service.score(question) for question in QUESTIONS] == [expected_answer(decision) for decision in alone]

    together = service.decide(QUESTIONS)
    assert [decision.sequence for decision in together] != [decision.sequence for decision in alone]
    assert service.score_batch(QUESTIONS) == [expected_answer(decision) for decision in together]


def test_a_batch_over_the_day_on_which_the_table_becomes_stale_is_decided_by_both(service: Service) -> None:
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    service.tables.put(table_of(midnight.date() - timedelta(days=WINDOW_DAYS)))
    asked = payments(20, seed=12, prefix="m", start=midnight - timedelta(minutes=10))
    answers = service.score_batch(asked)
    assert answers == [expected_answer(decision) for decision in service.decide(asked)]
    assert [answer["degraded"] for answer in answers] == [False] * 10 + [True] * 10


def test_in_a_batch_order_is_kept_and_the_second_of_a_card_sees_the_first(service: Service) -> None:
    start = QUESTIONS[0].occurred_at
    one, other = (msgspec.structs.replace(QUESTIONS[0], card_id=f"card-{card}") for card in ("x", "y"))
    asked = [
        msgspec.structs.replace(question, transaction_id=f"b-{place}", occurred_at=start + timedelta(seconds=place))
        for place, question in enumerate([one, other, one, one, other])
    ]
    answers = service.score_batch(asked)
    assert [answer["transaction_id"] for answer in answers] == ["b-0", "b-1", "b-2", "b-3", "b-4"]
    assert [answer["sequence"] for answer in answers] == [0, 0, 1, 2, 1]
    assert [answer["sequence"] for answer in service.score_batch(asked)] == [0, 0, 1, 2, 1]


def test_a_transaction_that_has_had_its_decision_gets_no_second_one(service: Service) -> None:
    seen = HISTORY[-1]
    fresh = QUESTIONS[0]
    decisions = service.decide([fresh])
    for answer in (service.score(seen), *service.score_batch([fresh, seen, fresh])[1:]):
        assert answer["repeated"]
        assert (answer["margin"], answer["probability"], answer["action"]) == (None, None, None)
        assert (answer["reasons"], answer["degraded"]) == ([], False)
    assert service.score_batch([fresh, seen, fresh])[0] == expected_answer(decisions[0])
    assert service.ask("POST", "/v1/explain", encode(seen)).status == 422


def test_without_a_champion_the_rules_answer_and_say_why(service: Service) -> None:
    service.registry.pointers = {}
    service.manager = ModelManager(service.registry, service.folder / "empty")  # type: ignore[arg-type]
    service.manager.refresh()
    service.use(CardStateReader(lambda: service.store, data_file(service.folder / "store"), time.monotonic))
    batch = fold_batch(service.store, service.tables, 0, 0, [record_of(one) for one in QUESTIONS])
    features = batch.folded.rows.features
    actions, reasons = POLICY.decide_by_rules(features)
    answers = service.score_batch(QUESTIONS)
    assert [answer["action"] for answer in answers] == [action.value for action in actions]
    assert [answer["reasons"] for answer in answers] == reasons
    assert {answer["degraded_reason"] for answer in answers} == {"no champion: there is no champion"}
    assert {(answer["margin"], answer["model_version"]) for answer in answers} == {(None, None)}
    assert service.ask("POST", "/invocations", json_rows(), Content_Type=JSON).status == 503


def record_of(transaction: Transaction) -> Record:
    return Record(TRANSACTIONS, 0, 0, 0, transaction.card_id.encode(), encode(transaction))


# Explanations

LARGEST = 4.0
ROUNDING = TREES * 2.0**-24 * LARGEST / 2.0
"""By how much a float32 sum of a leaf from each tree is off at most, below 4: half of its last bit a time."""


def test_contributions_add_up_to_the_margin_and_the_reasons_are_those_of_the_score(service: Service) -> None:
    assert ROUNDING < 1e-6
    alerts = 0
    for question in QUESTIONS:
        scored = service.score(question)
        explained = service.ask("POST", "/v1/explain", encode(question)).json
        shares = [each["contribution"] for each in explained["contributions"]]
        assert abs(explained["margin"]) < LARGEST
        assert explained["expected_margin"] + sum(shares) == pytest.approx(explained["margin"], abs=ROUNDING)
        assert shares == sorted(shares, key=abs, reverse=True)
        same = ("transaction_id", "sequence", "model_version", "model_digest", "margin", "probability")
        assert [explained[name] for name in same] == [scored[name] for name in same]
        codes = [reason["code"] for reason in explained["reasons"]]
        assert [reason["text"] for reason in explained["reasons"]] == [REASON_TEXTS[code] for code in codes]
        if scored["action"] != "approve":
            alerts += 1
            assert codes == scored["reasons"]
    assert 0 < alerts < len(QUESTIONS)


def test_a_recorded_decision_is_explained_from_its_record_as_it_is(service: Service) -> None:
    for decision in service.decide(QUESTIONS):
        reply = service.ask("POST", "/v1/explain/features", encode(decision))
        assert reply.status == 200
        explained = reply.json
        assert (explained["margin"], explained["probability"]) == (decision.margin, decision.probability)
        assert (explained["transaction_id"], explained["sequence"]) == (None, None)
        recorded = json.loads(encode(decision))["features"]
        values = {FEATURES[place].name: value for place, value in enumerate(recorded)}
        assert all(values[each["feature"]] == each["value"] for each in explained["contributions"])
        if decision.action is not Action.APPROVE:
            assert [reason["code"] for reason in explained["reasons"]] == decision.reasons


# A store on another machine


class Hanging:
    """A store that answers nobody until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def load(self, card_ids: Sequence[str]) -> Any:
        self.go.wait(30.0)
        return empty_states(len(card_ids))

    def close(self) -> None:
        pass


def test_who_waits_for_a_store_that_hangs_waits_until_the_deadline_and_nobody_else_waits(service: Service) -> None:
    store = Hanging()
    service.use(CardStateReader(lambda: store, None, time.monotonic))  # type: ignore[arg-type, return-value]

    async def ask() -> tuple[float, list[Reply]]:
        headers = {DEADLINE_HEADER: "200"}
        waiting = [
            asyncio.create_task(service.ask_soon("POST", "/v1/score", FIRST, **headers))
            for _ in range(MAX_PENDING_REMOTE + 1)
        ]
        await asyncio.sleep(0)
        begin = time.perf_counter()
        alive = await service.ask_soon("GET", "/livez")
        seconds = time.perf_counter() - begin
        assert alive.status == 200
        assert not any(task.done() for task in waiting[:-1])
        return seconds, await asyncio.gather(*waiting)

    begin = time.perf_counter()
    try:
        seconds, replies = asyncio.run(ask())
    finally:
        store.go.set()
    assert seconds < 0.1
    assert time.perf_counter() - begin < 2.0
    assert {(reply.status, reply.headers[b"retry-after"]) for reply in replies} == {(503, b"1")}
    assert Counter(reply.json["error"] for reply in replies) == {
        "busy: there is no answer within 200 ms": MAX_PENDING_REMOTE,
        f"busy: {MAX_PENDING_REMOTE} requests are waiting": 1,
    }


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TimingOut:
    """A store that fails after four seconds, and counts."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.asked = clock, 0

    def load(self, card_ids: Sequence[str]) -> Any:
        self.asked += 1
        self.clock.now += 4.0
        raise StoreUnavailable("no answer within 4 s")


def test_a_store_that_did_not_answer_rests_from_the_moment_on_at_which_that_was_known() -> None:
    clock = Clock()
    store = TimingOut(clock)
    states = CardStateReader(lambda: store, None, clock)  # type: ignore[arg-type, return-value]
    for seconds, asked in ((0.0, 1), (0.9 * BACKOFF_SECONDS, 1), (0.2 * BACKOFF_SECONDS, 2)):
        clock.now += seconds
        with pytest.raises(StoreUnavailable, match="no answer within 4 s"):
            states.load(["card"])
        assert store.asked == asked


# The champion on disk


def test_a_kept_champion_with_any_damage_is_not_served_and_the_next_look_comes(service: Service) -> None:
    folder = service.folder / "models"
    [file] = folder.iterdir()
    kept = file.read_bytes()
    registry = Published()
    registry.away = True
    places = [*range(500), *range(500, len(kept), 97)]
    for damaged in (
        *(kept[:place] + bytes([kept[place] ^ bit]) + kept[place + 1 :] for place in places for bit in (0x01, 0x80)),
        *(kept[:length] for length in range(0, len(kept), 501)),
        b"",
    ):
        file.write_bytes(damaged)
        manager = ModelManager(registry, folder)  # type: ignore[arg-type]
        manager.refresh()
        assert manager.served.champion is None
        assert "champion.msgpack cannot be used" in manager.unavailable_reason()
    file.write_bytes(kept)
    manager.refresh()
    assert manager.status().version == "1"
    assert "serving version 1, the newest champion that was kept on disk" in str(manager.status().problem)


# Connections


class Timers:
    """An event loop as far as the protocol needs one: timers that run when they are told to."""

    def __init__(self) -> None:
        self.set: list[Callable[[], None]] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        assert seconds == SWEEP_SECONDS
        self.set.append(call)

    def run(self) -> None:
        due, self.set = self.set, []
        for call in due:
            call()


class Transport(asyncio.Transport):
    """A connection, open until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[TimeoutProtocol, Transport]]:
    monkeypatch.setattr(TimeoutProtocol, "_is_sweeping", False)
    config, state = Config(app=lambda: None, log_config=None), ServerState()
    config.load()

    def connected() -> tuple[TimeoutProtocol, Transport]:
        protocol, transport = TimeoutProtocol(config, state, {}, _loop=timers), Transport()  # type: ignore[arg-type]
        protocol.connection_made(transport)
        return protocol, transport

    timers = connected.timers = Timers()  # type: ignore[attr-defined]
    return connected


def test_who_never_asks_is_closed_however_quiet_it_was_before(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("services.scoring.http.timeout_protocol.time.perf_counter", clock)
    first, _ = connect()
    clock.now += SWEEP_SECONDS
    connect.timers.run()
    first.connection_lost(None)
    clock.now += SWEEP_SECONDS
    connect.timers.run()
    assert connect.timers.set == []

    clock.now += 0.1
    _, transport = connect()
    for _ in range(int(TIMEOUT_SECONDS / SWEEP_SECONDS) + 1):
        assert transport.is_open
        clock.now += SWEEP_SECONDS
        connect.timers.run()
    assert not transport.is_open


def test_there_is_one_sweep_however_many_connections_and_delays_there_are(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("services.scoring.http.timeout_protocol.time.perf_counter", clock)
    for _ in range(20):
        connect()
        clock.now += 3 * SWEEP_SECONDS
        connect()
        assert len(connect.timers.set) == 1
        connect.timers.run()


# Log lines


def test_at_debug_each_transaction_that_was_asked_about_has_a_line_and_else_none(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def ask() -> dict[str, str]:
        caplog.clear()
        service.score(QUESTIONS[0])
        service.score_batch(QUESTIONS[1:3])
        service.ask("POST", "/v1/explain", FIRST)
        service.invoke(encode_rows(rows(3)), BINARY, **{IDS_HEADER: "a%2Cb,," + "c" * 1_000})
        return {vars(line)["transaction_id"]: line.getMessage() for line in caplog.records}

    assert ask() == {}
    caplog.set_level(logging.DEBUG, "services.scoring")
    service.use(CardStateReader(lambda: service.store, None, time.monotonic))
    told = ask()
    assert list(told) == ["q-0", "q-1", "q-2", "a,b", "c" * 64]
    assert told["q-0"].startswith("explained probability 0.")
    assert told["q-1"].startswith("answered ")
    assert ", version 1, sequence " in told["q-1"]
    assert told["a,b"].startswith("scored probability 0.")


# ScoringMetrics


def test_of_a_dead_worker_only_what_it_says_about_now_is_forgotten(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for kind in ("counter", "histogram", "gauge_livemin", "gauge_all"):
            for pid in (alive.pid, dead.pid):
                (tmp_path / f"{kind}_{pid}.db").touch()
        before = {file.name for file in tmp_path.iterdir()}
        remove_dead_worker_gauges(tmp_path)
        assert before - {file.name for file in tmp_path.iterdir()} == {f"gauge_livemin_{dead.pid}.db"}
        remove_dead_worker_gauges(tmp_path / "not there")
    finally:
        alive.communicate()
