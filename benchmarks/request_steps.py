"""The microseconds of one preview: each step of `/v1/score` alone, and the whole request without a socket.

The steps are those of `services/scoring/api/preview.py` in their order, on the data with which the servers are
measured. `decision` is kernel, trees, calibration and policy in one compiled call, with the encoding, as the service
makes it; the batch path makes them one by one. So the whole request is compared with the sum of the other steps and
this call; the rest is the code between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import numpy as np

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import data_file
from adapters.feature_store.open import open_reader
from adapters.scoring.api_keys import KeyRing, KeyScope, RateLimit
from benchmarks.harness import Metric, Metrics, each_in_turn
from benchmarks.serving.fixture import ServingFixture, serving_fixture
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.one_transaction import OneTransaction
from cardwatch.decision.records import Preview
from cardwatch.events import Action, Transaction, decode, utc_day
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURES
from cardwatch.features.kernel import fold
from cardwatch.features.reference_choice import choose_table
from cardwatch.registry import ModelVersion
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.endpoints import MAX_TRANSACTION_BYTES, ScoringApi
from services.scoring.api.example import ExampleSource
from services.scoring.api.preview import PreviewScorer
from services.scoring.http.admission import Admission
from services.scoring.http.routes import CompleteRequest, Response, Routes
from services.scoring.metrics import ScoringMetrics
from services.scoring.model.manager import LoadedModel, ServedModels

TIMES: Final = 10_000
_ONE: Final = np.zeros(1, np.int64)


def measure() -> Metrics:
    """Return the median of each step in microseconds."""
    fixture = serving_fixture()
    states = CardStateReader(partial(open_reader, fixture.settings), data_file(fixture.settings.store), time.monotonic)
    counters = ScoringMetrics()
    tables = ReferenceTableStore(fixture.settings.tables)
    scorer = PreviewScorer(states, tables, DecisionPolicy())
    examples = ExampleSource(tables, states, lambda: None)
    served = LoadedModel(fixture.fitted.detector, ModelVersion(version="1", run_id="", tags={"digest": "0" * 64}))
    bodies = msgspec.msgpack.decode(fixture.transactions.read_bytes())
    steps = _steps(fixture, states, counters, bodies)
    reasons = {"reasons": lambda: fixture.fitted.detector.reasons(fixture.rows[:1])}
    micros = each_in_turn(steps, times=TIMES) | each_in_turn(reasons, times=500)
    micros["whole"] = _whole(fixture, scorer, examples, served, counters, bodies)
    states.close()
    return {
        f"step_{name}": Metric(value=float(np.median(taken)), unit="µs", how=_HOW[name], goal=_GOALS.get(name, ""))
        for name, taken in micros.items()
    }


_HOW: Final = {
    "key": "the API key and its scope",
    "decode": "JSON to a transaction, validated",
    "table": "the newest reference table",
    "state": "the card's state from LMDB, 100,000 cards",
    "encode": "the transaction as a kernel row, in turn with the other steps",
    "fold": f"the kernel: {len(FEATURES)} features, the same card in every call",
    "margin": "300 trees of depth 6, in turn with the other steps",
    "probability": "the calibration table",
    "action": "the cost policy",
    "decision": "encode, kernel, trees, calibration and policy in one compiled call, as the service does",
    "answer": "the answer as JSON",
    "metrics": "counters and histogram",
    "reasons": "exact contributions and reason codes, one request in 200",
    "whole": "all of it as a direct endpoint, without server and socket",
}
_GOALS: Final = {"margin": "at most 10", "reasons": "at most 1,500"}


def _steps(
    fixture: ServingFixture, states: CardStateReader, counters: ScoringMetrics, bodies: Sequence[bytes]
) -> dict[str, Any]:
    keys = KeyRing(str(fixture.settings.api_key), fixture.settings.keys_file)
    header = f"Bearer {fixture.settings.api_key}"
    tables, policy, detector = ReferenceTableStore(fixture.settings.tables), DecisionPolicy(), fixture.fitted.detector
    transactions = [decode(body, Transaction) for body in bodies]
    table = tables.newest(utc_day(transactions[0].occurred_at))
    held, rows = states.load([transactions[0].card_id]), encode(transactions[:1])
    margins = detector.margins(fixture.rows[:1])
    probabilities, amounts = detector.probabilities(margins), np.array([100.0])
    answer = _answer()
    sequence = int(held["sequence"][0])

    def folded() -> object:
        held["sequence"] = sequence
        return fold(held, _ONE, rows, table)

    body, transaction = cycle(bodies), cycle(transactions)
    one = OneTransaction(policy)

    def decided() -> object:
        held["sequence"] = sequence
        return one.decide(detector, table, held, transactions[0])

    feature_rows: Iterator[int] = cycle(range(len(fixture.rows)))
    encoder = msgspec.json.Encoder()
    return {
        "key": lambda: keys.check(header.encode(), KeyScope.SCORE),
        "decode": lambda: decode(next(body), Transaction),
        "table": lambda: choose_table(tables, utc_day(next(transaction).occurred_at)),
        "state": lambda: states.load([next(transaction).card_id]),
        "encode": lambda: encode([next(transaction)]),
        "fold": folded,
        "margin": lambda: detector.margins(fixture.rows[(i := next(feature_rows)) : i + 1]),
        "probability": lambda: detector.probabilities(margins),
        "action": lambda: policy.decide(probabilities, amounts, _ONE),
        "decision": decided,
        "answer": lambda: encoder.encode(answer),
        "metrics": lambda: (counters.count_previews([answer]), counters.count_response("/v1/score", 200, 1e-4)),
    }


def _answer() -> Preview:
    return Preview(
        transaction_id="transaction-0002-00000000", sequence=30, table_id="0" * 32, model_version="1",
        model_digest="0" * 64, policy_version="0" * 12, margin=-3.25, probability=0.0005, action=Action.APPROVE,
    )  # fmt: skip


def _whole(
    fixture: ServingFixture,
    scorer: PreviewScorer,
    examples: ExampleSource,
    served: LoadedModel,
    counters: ScoringMetrics,
    bodies: Sequence[bytes],
) -> np.ndarray:
    keys = KeyRing(str(fixture.settings.api_key), fixture.settings.keys_file)
    admission = Admission(keys, RateLimit(), fixture.settings.deadline_ms, counters.count_shed)
    manager: Any = SimpleNamespace(served=ServedModels(served))
    api, routes = ScoringApi(manager, scorer, examples, admission, counters), Routes({}, counters)
    endpoint = routes.direct("/v1/score", api.score_complete, MAX_TRANSACTION_BYTES)
    headers = {b"authorization": f"Bearer {fixture.settings.api_key}".encode(), b"content-type": b"application/json"}

    async def run() -> np.ndarray:
        micros = np.empty(TIMES)
        for i in range(-500, TIMES):
            body = bodies[i % len(bodies)]
            begin = time.perf_counter_ns()
            answer = endpoint.answer(CompleteRequest(headers, body))
            if not isinstance(answer, Response):
                await answer
            micros[max(i, 0)] = (time.perf_counter_ns() - begin) / 1e3
        return micros

    return asyncio.run(run())
