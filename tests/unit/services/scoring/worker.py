"""The endpoints of a worker over a real detector and feature store, called as an ASGI application, without a server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.archive.example_transaction import ExampleTransactionFile
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import LmdbStore, data_file
from adapters.scoring.api_keys import KeyRing, KeyScope, RateLimit, add_key
from adapters.scoring.wire_format import (
    BINARY,
    DEADLINE_HEADER,
    PER_ROW,
    REASONS_HEADER,
    SCHEMA_HEADER,
    decode_scores,
    encode_rows,
)
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import NoChampion, RegistryUnavailable
from cardwatch.events import Channel, Decision, Transaction, encode
from cardwatch.features.columns import card_index
from cardwatch.features.columns import encode as kernel_rows
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.partitioning import UNCHECKED
from cardwatch.ports import Scores
from cardwatch.records import Record
from cardwatch.registry import CHAMPION, ModelVersion, ServedAliases, digest_of
from cardwatch.topics import TRANSACTIONS
from models.training import FittedDetector
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.endpoints import (
    ScoringApi,
)
from services.scoring.api.example import ExampleSource
from services.scoring.api.preview import PreviewScorer
from services.scoring.http.admission import Admission
from services.scoring.http.routes import ARRIVAL_TIME, Routes
from services.scoring.metrics import ScoringMetrics
from services.scoring.model.manager import ModelManager
from services.scoring.openapi.documentation import Documentation
from services.stream.batch import fold_batch
from services.stream.decision_engine import DecisionEngine

OWN = "key-of-the-stack"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CARDS = 12
TREES = 8
POLICY = DecisionPolicy(challenge_channels=tuple(Channel))  # so that rules and model challenge in each channel


def payments(count: int, seed: int, prefix: str = "t", start: datetime = NOON) -> list[Transaction]:
    """Return payments of a few cards, one every minute, with amounts of every size."""
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
PAYMENTS = payments(60, seed=2, prefix="q", start=NOON + timedelta(hours=6))
PAYMENTS[-1] = msgspec.structs.replace(PAYMENTS[-1], amount_minor=10**8)  # the rules challenge this one, too
FIRST = encode(PAYMENTS[0])


def folded(transactions: Sequence[Transaction], table: ReferenceTable | None = None) -> NDArray[np.float32]:
    """Return the features of these transactions, folded in this order."""
    cards, index = card_index([transaction.card_id for transaction in transactions])
    return fold(empty_states(len(cards)), index, kernel_rows(transactions), table or ReferenceTable.empty()).features


def rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return feature rows with a third of the values missing."""
    values = folded(payments(count, seed)).copy()
    values[np.random.default_rng(seed).random(values.shape) < 0.3] = np.nan
    return values


class InMemoryRegistry:
    """A model registry in memory, which may be unavailable."""

    def __init__(self) -> None:
        self.pointers: dict[str, str] = {}
        self._versions: dict[str, tuple[ModelVersion, dict[str, bytes]]] = {}
        self.unavailable = False
        self.canary_share: float | None = None

    def publish(self, files: dict[str, bytes], *roles: str) -> str:
        number = str(len(self._versions) + 1)
        version = ModelVersion(version=number, run_id="", tags={"digest": digest_of(files), "schema_hash": SCHEMA_HASH})
        self._versions[number] = version, files
        self.pointers |= dict.fromkeys(roles, number)
        return number

    def aliases(self) -> ServedAliases:
        if self.unavailable:
            raise RegistryUnavailable("the registry is unavailable")
        return ServedAliases(self.pointers, self.canary_share)

    def no_champion(self) -> NoChampion:
        return NoChampion("there is no champion")

    def version(self, number: str) -> ModelVersion:
        return self._versions[number][0]

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        return self._versions[version.version][1]

    def close(self) -> None:
        pass


class Reply(NamedTuple):
    """A response."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class BodyParts:
    """The `receive` of a request whose body has these parts; unless `complete`, the caller then disconnects."""

    def __init__(self, parts: Sequence[bytes], *, complete: bool = True) -> None:
        self._messages = [
            {"type": "http.request", "body": part, "more_body": not complete or index < len(parts)}
            for index, part in enumerate(parts, start=1)
        ]
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        return self._messages.pop(0) if self._messages else {"type": "http.disconnect"}


async def respond(
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
        self.tables, self.registry = ReferenceTableStore(folder / "tables"), InMemoryRegistry()
        self.registry.publish(fitted.files, CHAMPION)
        self.manager = ModelManager(self.registry, folder / "models")  # type: ignore[arg-type]
        self.manager.refresh()
        self.keys = {scope: self._add(scope.name, scope) for scope in KeyScope}
        self.slow_key = self._add("slow", *KeyScope, rate=1e-3)
        self.policy = POLICY
        self.control: ControlSample | None = None
        self.use_states(CardStateReader(lambda: store, data_file(folder / "store"), time.monotonic))

    def use_states(self, states: CardStateReader) -> None:
        admission = Admission(KeyRing(OWN, self.folder / "keys"), RateLimit(), 10_000, self.metrics.count_shed)
        examples = ExampleSource(self.tables, states, ExampleTransactionFile(self.tables.folder).read)
        previews = PreviewScorer(states, self.tables, self.policy, self.control)
        self.api = ScoringApi(self.manager, previews, examples, admission, self.metrics)
        documentation = Documentation(self.manager, examples, self.tables, self.policy, self.control)
        self.routes = Routes(self.api.endpoints() | documentation.endpoints(), self.metrics)

    def use_policy(self, policy: DecisionPolicy, control: ControlSample) -> None:
        self.policy, self.control = policy, control
        self.use_states(CardStateReader(lambda: self.store, data_file(self.folder / "store"), time.monotonic))

    def _add(self, name: str, *scopes: KeyScope, rate: float | None = None) -> str:
        return str(add_key(self.folder / "keys", name=name, scopes=scopes, rate_per_second=rate, created_at=NOON)[0])

    def request(
        self, method: str, path: str, body: bytes = b"", *, key: str | None = OWN, expired: bool = False, **headers: str
    ) -> Reply:
        return asyncio.run(self.request_async(method, path, body, key=key, expired=expired, **headers))

    async def request_async(
        self, method: str, path: str, body: bytes = b"", *, key: str | None = OWN, expired: bool = False, **headers: str
    ) -> Reply:
        """Return the response. `expired`: the deadline of the request has passed."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["Authorization"] = f"Bearer {key}"
        scope = {}
        if expired:
            named[DEADLINE_HEADER], scope[ARRIVAL_TIME] = "1", time.perf_counter() - 1.0
        return await respond(self.routes, method, path, BodyParts([body]), named, **scope)

    def score(self, transaction: Transaction) -> Any:
        reply = self.request("POST", "/v1/score", encode(transaction))
        assert reply.status == 200, reply
        return reply.json

    def score_batch(self, transactions: Sequence[Transaction]) -> list[Any]:
        reply = self.request("POST", "/v1/score/batch", msgspec.json.encode(transactions))
        assert reply.status == 200, reply
        answers: list[Any] = reply.json
        return answers

    def invoke(self, body: bytes, content_type: str, **headers: str) -> Reply:
        schema = {} if "schema" in headers else {SCHEMA_HEADER: SCHEMA_HASH}
        reply = self.request("POST", "/invocations", body, Content_Type=content_type, **schema, **headers)
        assert reply.status == 200, reply
        return reply

    def decide(self, transactions: Sequence[Transaction]) -> list[Decision]:
        """Return the decisions of the stream worker about these transactions as the next ones."""
        records = [
            Record(TRANSACTIONS, 0, offset, 0, transaction.card_id.encode(), encode(transaction))
            for offset, transaction in enumerate(transactions)
        ]
        batch = fold_batch(self.store, self.tables, UNCHECKED, 0, 0, records)
        return (
            DecisionEngine(InvocationsScorer(self), self.policy, lambda: 1e12, self.control).decide([batch]).decisions
        )


class InvocationsScorer:
    """A scorer for the stream worker that calls `/invocations`."""

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
        reply = self._service.request("POST", "/invocations", encode_rows(asked, reasons_above), **headers)
        assert reply.status == 200, reply
        return decode_scores(reply.body)


def recorded_row(schema_hash: str = SCHEMA_HASH) -> bytes:
    return msgspec.json.encode({"features": [None] * len(FEATURES), "feature_schema": schema_hash})


def json_rows(schema_hash: str = SCHEMA_HASH) -> bytes:
    return msgspec.json.encode({"instances": [[None] * len(FEATURES)], "feature_schema": schema_hash})


def record_of(transaction: Transaction) -> Record:
    return Record(TRANSACTIONS, 0, 0, 0, transaction.card_id.encode(), encode(transaction))


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
