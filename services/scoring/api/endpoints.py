"""The endpoints.

    POST /invocations          feature rows -> scores: `services.scoring.api.invocations`             (key: score)
    POST /v1/score             one transaction -> what would be decided                           (score)
    POST /v1/score/batch       several, in their order                                            (score)
    POST /v1/explain           one transaction -> contributions of all features, reasons in words (explain)
    POST /v1/explain/features  a recorded feature row -> the same                                 (explain)
    POST /v1/reload            follow the aliases now                                             (admin)
    GET  /v1/model             what is served, what was refused                                   (admin)
    GET  /ping /livez /readyz  (open)

Answers are made on the thread that serves; only what may wait for another machine goes to another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from adapters.scoring.api_keys import KeyScope
from adapters.scoring.wire_format import decode_row
from cardwatch.errors import InvalidRecord, SchemaMismatch, ScoringUnavailable
from cardwatch.events import Transaction, decode, decode_all
from cardwatch.features.definitions import SCHEMA_HASH
from services.scoring.api import preview as asking
from services.scoring.api.explanation import explain
from services.scoring.api.invocations import Invocations
from services.scoring.api.preview import PreviewScorer
from services.scoring.api.request_log import is_asked_for, tell_of_answers, tell_of_explanation
from services.scoring.http.admission import Admission
from services.scoring.http.routes import Endpoint, Request, Response, json_answer
from services.scoring.metrics import ScoringMetrics
from services.scoring.model.manager import ModelManager

THREADS: Final = 8
"""For reads that wait for another machine; each holds a connection to it."""
MAX_TRANSACTIONS: Final = 500
MAX_TRANSACTION_BYTES: Final = 16_384
MAX_BATCH_BYTES: Final = MAX_TRANSACTIONS * 1_024
MAX_FEATURES_BYTES: Final = 65_536

T = TypeVar("T")


class ScoringApi:
    """The endpoints, as methods."""

    def __init__(
        self, holder: ModelManager, question: PreviewScorer, admission: Admission, metrics: ScoringMetrics
    ) -> None:
        self._holder, self._question, self._admission, self._metrics = holder, question, admission, metrics
        self._rows = Invocations(holder, admission, metrics)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="remote-store")
        self._tells: Final = is_asked_for()

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """By method and path."""
        return self._rows.endpoints() | {
            ("POST", "/v1/score"): self.score,
            ("POST", "/v1/score/batch"): self.score_batch,
            ("POST", "/v1/explain"): self.explain,
            ("POST", "/v1/explain/features"): self.explain_features,
            ("POST", "/v1/reload"): self.reload,
            ("GET", "/v1/model"): self.model,
            ("GET", "/readyz"): self._rows.ready,
            ("GET", "/livez"): self.live,
        }

    async def score(self, request: Request) -> Response:
        """One transaction."""
        key = self._admission.key(request, KeyScope.SCORE)
        self._admission.admit(request)
        transaction = decode(await request.body(MAX_TRANSACTION_BYTES), Transaction)
        self._admission.count(key, 1)
        [answer] = await self._ask(request, [transaction])
        return json_answer(answer)

    async def score_batch(self, request: Request) -> Response:
        """Several transactions; all are answered by one model, or none is."""
        key = self._admission.key(request, KeyScope.SCORE)
        self._admission.admit(request)
        body = await request.body(MAX_BATCH_BYTES)
        transactions = decode_all(body, Transaction, most=MAX_TRANSACTIONS)
        self._admission.count(key, len(transactions))
        return json_answer(await self._ask(request, transactions))

    async def explain(self, request: Request) -> Response:
        """Why a transaction would be scored as it would be."""
        key = self._admission.key(request, KeyScope.EXPLAIN)
        self._admission.admit(request)
        self._admission.count(key, 1)
        transaction = decode(await request.body(MAX_TRANSACTION_BYTES), Transaction)
        champion = self._rows.champion(self._holder.serving.champion)
        if self._question.may_wait:
            asked = await self._elsewhere(request, lambda: self._question.features([transaction]))
        else:
            asked = self._question.features([transaction])
        if asked.no_store is not None:
            raise ScoringUnavailable(f"there is nothing to explain without the card's state: {asked.no_store}")
        if asked.folded.duplicates[0]:
            raise InvalidRecord("this transaction has been folded already", field="$.transaction_id")
        explanation = explain(
            champion,
            asked.folded.features,
            transaction_id=transaction.transaction_id,
            sequence=int(asked.folded.sequences[0]),
        )
        if self._tells:
            tell_of_explanation(transaction.transaction_id, explanation)
        return json_answer(explanation)

    async def explain_features(self, request: Request) -> Response:
        """Why a recorded feature row is scored as it is."""
        key = self._admission.key(request, KeyScope.EXPLAIN)
        self._admission.admit(request)
        self._admission.count(key, 1)
        asked = decode_row(await request.body(MAX_FEATURES_BYTES))
        if asked.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(f"the row has schema {asked.schema_hash}, the model {SCHEMA_HASH}")
        return json_answer(explain(self._rows.champion(self._holder.serving.champion), asked.features))

    async def reload(self, request: Request) -> Response:
        """Look at the registry now, also at versions that were refused."""
        self._admission.key(request, KeyScope.ADMIN)
        await asyncio.to_thread(self._holder.look, again=True)
        return json_answer(self._holder.status())

    async def model(self, request: Request) -> Response:
        """What is served."""
        self._admission.key(request, KeyScope.ADMIN)
        return json_answer(self._holder.status())

    async def live(self, _: Request) -> Response:
        """The process answers."""
        return json_answer({"status": "alive"})

    async def _ask(self, request: Request, transactions: Sequence[Transaction]) -> list[asking.Preview]:
        self._admission.require_time(request)  # its body may have been slow
        champion = self._holder.serving.champion
        no_champion = self._rows.no_champion() if champion is None else ""
        if self._question.may_wait:
            answers, alerts = await self._elsewhere(
                request, lambda: self._question.ask(transactions, champion, no_champion)
            )
        else:
            answers, alerts = self._question.ask(transactions, champion, no_champion)
        if champion is not None and alerts.places:
            codes = await self._rows.reasons(request, champion, alerts.features)
            for place, of_place in zip(alerts.places, codes, strict=True):
                answers[place].reasons.extend(of_place)
        self._metrics.decided(answers)
        if self._tells:
            tell_of_answers(answers, time.perf_counter() - request.arrived)
        return answers

    async def _elsewhere(self, request: Request, work: Callable[[], T]) -> T:
        """Do it in a thread, for it may wait; its caller waits until the deadline and no longer."""
        with self._admission.elsewhere():
            working = asyncio.get_running_loop().run_in_executor(self._threads, work)
            try:
                return await asyncio.wait_for(working, request.deadline - time.perf_counter())
            except TimeoutError as error:
                raise self._admission.too_late(request) from error
