"""Clients that load a scoring service in threads and keep its responses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import numpy as np
from numpy.typing import NDArray

from cardwatch.events import Channel, Transaction, encode
from cardwatch.features.columns import encode as kernel_rows
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.ports import FeatureStore, StateArray
from models.training import FittedDetector

CARD = "card-of-the-faults"
SWAPS, CLIENTS, BATCH = 20, 4, 64
HEALTH_CHECK_SECONDS = 0.1

Detectors = tuple[FittedDetector, FittedDetector]
Record = Callable[[str, object], None]
Rows = Callable[..., NDArray[np.float32]]
Until = Callable[..., float]
Stack = Any
Mlflow = Any


def payment(number: int) -> Transaction:
    return Transaction(
        transaction_id=f"t-{number}",
        card_id=CARD,
        merchant_id="merchant-1",
        occurred_at=datetime(2030, 1, 5, 12, tzinfo=UTC) + timedelta(hours=number),
        amount_minor=5_000 + number,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


PAYMENT = encode(payment(99))


def after(payments: int) -> tuple[StateArray, NDArray[np.float32]]:
    """Return the card's state after `payments` payments, and the features of `PAYMENT` after it."""
    states = empty_states(1)
    if payments:
        history = kernel_rows([payment(number) for number in range(payments)])
        fold(states, np.zeros(payments, np.int64), history, ReferenceTable.empty())
    copy = states.copy()
    return states, fold(copy, np.zeros(1, np.int64), kernel_rows([payment(99)]), ReferenceTable.empty()).features


def preview_features(stack: Stack) -> NDArray[np.float32]:
    """Return the features of `PAYMENT` after what the shared store holds: another test may have filled it before."""
    with stack.store() as store:
        states = store.load([CARD])
    return fold(states, np.zeros(1, np.int64), kernel_rows([payment(99)]), ReferenceTable.empty()).features


def fill(store: FeatureStore, payments: int) -> None:
    """Write the card's state after `payments` payments."""
    store.apply(0, expected=store.applied(0), position=payments, card_ids=[CARD], states=after(payments)[0])


class Scored(NamedTuple):
    """A response to `PAYMENT`, and its latency."""

    status: int
    body: dict[str, Any]
    retry_after: str | None
    seconds: float

    @property
    def sequence(self) -> int | None:
        return self.body.get("sequence")


class Load:
    """Clients in threads while `under` lasts, and the responses that they received.

    `answers`: previews. `batches`: for each client of `/invocations` the versions of its scores. `failed`: errors.
    """

    def __init__(self) -> None:
        self.answers: list[Scored] = []
        self.batches: list[list[str]] = []
        self.seconds: list[float] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._clients = ExitStack()

    @property
    def done(self) -> int:
        """Number of scored batches."""
        return sum(map(len, self.batches))

    @contextmanager
    def under(self, *callers: Callable[[], None]) -> Iterator[None]:
        def repeat(call: Callable[[], None]) -> None:
            while not self._stop.is_set():
                try:
                    call()
                except Exception as error:
                    self.failed.append(repr(error))

        threads = [threading.Thread(target=repeat, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._clients.close()

    def scoring(self, stack: Stack, asked: NDArray[np.float32], expected: dict[str, bytes]) -> Callable[[], None]:
        """A client like the stream worker, which fails if scores are not those of the model that they name."""
        scorer, versions = self._clients.enter_context(stack.client()), list[str]()
        self.batches.append(versions)

        def call() -> None:
            begin = time.perf_counter()
            scores = scorer.score(asked, np.full(len(asked), np.inf), schema_hash=SCHEMA_HASH)
            self.seconds.append(time.perf_counter() - begin)
            versions.append(scores.model_version)
            if scores.margins.tobytes() != expected[scores.model_version]:
                self.failed.append(f"margins that are not those of version {scores.model_version}")

        return call

    def previews(self, stack: Stack, check: Callable[[Scored], bool] = lambda _: True) -> Callable[[], None]:
        """A client of `/v1/score` that keeps its connection and all responses."""
        http = self._clients.enter_context(stack.connected())

        def call() -> None:
            answer = score_payment(http)
            self.answers.append(answer)
            self.seconds.append(answer.seconds)
            if not check(answer):
                self.failed.append(f"{answer.status}: {answer.body}")

        return call


def score_payment(http: httpx.Client, **headers: str) -> Scored:
    begin = time.perf_counter()
    response = http.post("/v1/score", content=PAYMENT, headers=headers)
    seconds = time.perf_counter() - begin
    return Scored(response.status_code, response.json(), response.headers.get("retry-after"), seconds)


def expected_margins(
    versions: Sequence[str], detectors: Sequence[FittedDetector], rows: NDArray[np.float32]
) -> dict[str, Any]:
    margins = [fitted.detector.margins(rows).tobytes() for fitted in detectors]
    assert len(set(margins)) == len(margins)
    return dict(zip(versions, margins, strict=True))


def margin_bytes(answer: Scored) -> bytes:
    return np.float32(answer.body["margin"]).tobytes()
