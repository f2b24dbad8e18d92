"""The endpoints of the scoring service.

    POST /invocations          feature rows -> scores: `services.scoring.api.invocations`         (scope: score)
    POST /v1/score             a transaction -> what would be decided                             (score)
    POST /v1/score/batch       several transactions -> what would be decided, in their order      (score)
    GET  /v1/example           a transaction of this stack, for a first request                   (score)
    POST /v1/explain           a transaction -> contributions of all features, reasons with texts (explain)
    POST /v1/explain/features  a recorded feature row -> the same                                 (explain)
    POST /v1/reload            load the versions that the aliases point to                        (admin)
    GET  /v1/model             the served and refused versions                                    (admin)
    GET  /ping /livez /readyz  health checks                                                      (no key)

Scores are computed in the event loop's thread. Work that may wait for another machine runs in a thread pool, and
explanations in a thread of their own, see `services.scoring.api.invocations`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from adapters.scoring.api_keys import ApiKey, KeyScope
from adapters.scoring.wire_format import decode_row
from cardwatch.decision.records import Preview
from cardwatch.errors import InvalidRecord, SchemaMismatch, ScoringUnavailable
from cardwatch.events import Transaction, decode, decode_transactions
from cardwatch.features.definitions import SCHEMA_HASH
from services.scoring.api.example import ExampleSource
from services.scoring.api.explanation import explain
from services.scoring.api.invocations import MAX_DIRECT_BYTES, Invocations
from services.scoring.api.preview import PreviewScorer, UnexplainedAlerts
from services.scoring.api.request_log import debug_enabled, log_explanation, log_previews
from services.scoring.http.admission import Admission
from services.scoring.http.routes import (
    CompleteRequest,
    DirectAnswer,
    Endpoint,
    Request,
    Response,
    json_response,
)
from services.scoring.metrics import ScoringMetrics
from services.scoring.model.manager import ModelManager, ServedModels

THREADS: Final = 8
"""Number of threads for reads from another machine. Each holds one connection."""
MAX_TRANSACTIONS: Final = 500
MAX_TRANSACTION_BYTES: Final = 16_384
MAX_BATCH_BYTES: Final = MAX_TRANSACTIONS * 1_024
MAX_FEATURES_BYTES: Final = 65_536

T = TypeVar("T")


class ScoringApi:
    """The endpoints of the scoring service, as methods."""

    def __init__(
        self,
        manager: ModelManager,
        previews: PreviewScorer,
        examples: ExampleSource,
        admission: Admission,
        metrics: ScoringMetrics,
    ) -> None:
        self._manager, self._previews, self._admission, self._metrics = manager, previews, admission, metrics
        self._examples = examples
        self._invocations = Invocations(manager, admission, metrics)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="remote-store")
        self._debug: Final = debug_enabled()

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """Return the endpoints by method and path."""
        return self._invocations.endpoints() | {
            ("POST", "/v1/score"): self.score,
            ("POST", "/v1/score/batch"): self.score_batch,
            ("GET", "/v1/example"): self.example,
            ("POST", "/v1/explain"): self.explain,
            ("POST", "/v1/explain/features"): self.explain_features,
            ("POST", "/v1/reload"): self.reload,
            ("GET", "/v1/model"): self.model,
            ("GET", "/readyz"): self._invocations.ready,
            ("GET", "/livez"): self.live,
        }

    def direct_endpoints(self) -> dict[str, tuple[Callable[[CompleteRequest], DirectAnswer], int]]:
        """Return what answers complete POST requests without ASGI, and the maximum size of their body, by path."""
        return {
            "/v1/score": (self.score_complete, MAX_TRANSACTION_BYTES),
            "/invocations": (self._invocations.invocations_complete, MAX_DIRECT_BYTES),
        }

    async def score(self, request: Request) -> Response:
        """Preview the decision about one transaction."""
        key = self._admission.admit(request, KeyScope.SCORE)
        answer = self._score(request, key, await request.body(MAX_TRANSACTION_BYTES))
        return answer if isinstance(answer, Response) else await answer

    def score_complete(self, request: CompleteRequest) -> DirectAnswer:
        """Do what `score` does, for `Routes.direct`."""
        return self._score(request, self._admission.admit(request, KeyScope.SCORE), request.whole_body)

    async def score_batch(self, request: Request) -> Response:
        """Preview the decisions about several transactions, with one model for all of them."""
        key = self._admission.admit(request, KeyScope.SCORE)
        body = await request.body(MAX_BATCH_BYTES)
        transactions = decode_transactions(body, limit=MAX_TRANSACTIONS)
        self._admission.limit_rate(key, len(transactions))
        return json_response(await self._preview(request, transactions))

    async def example(self, request: Request) -> Response:
        """Return a transaction that can be scored now."""
        key = self._admission.admit(request, KeyScope.SCORE)
        self._admission.limit_rate(key, 1)
        return json_response(await self._run(request, self._examples.of_stack))

    async def explain(self, request: Request) -> Response:
        """Explain the score that a transaction would get."""
        key = self._admission.admit(request, KeyScope.EXPLAIN)
        self._admission.limit_rate(key, 1)
        transaction = decode(await request.body(MAX_TRANSACTION_BYTES), Transaction)
        champion = self._invocations.require_champion(self._manager.served)
        folded, no_store = await self._run(request, lambda: self._previews.fold([transaction]))
        if no_store is not None:
            raise ScoringUnavailable(f"there is nothing to explain without the card's state: {no_store.text}")
        if folded.rows.duplicates[0]:
            raise InvalidRecord("this transaction has been folded already", field="$.transaction_id")
        explanation = await self._invocations.in_explaining_thread(
            request,
            partial(
                explain,
                champion,
                folded.rows.features,
                transaction_id=transaction.transaction_id,
                sequence=int(folded.rows.sequences[0]),
            ),
        )
        if self._debug:
            log_explanation(transaction.transaction_id, explanation)
        return json_response(explanation)

    async def explain_features(self, request: Request) -> Response:
        """Explain the score of a recorded feature row."""
        key = self._admission.admit(request, KeyScope.EXPLAIN)
        self._admission.limit_rate(key, 1)
        row = decode_row(await request.body(MAX_FEATURES_BYTES))
        if row.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(f"the row has schema {row.schema_hash}, the model {SCHEMA_HASH}")
        champion = self._invocations.require_champion(self._manager.served)
        return json_response(
            await self._invocations.in_explaining_thread(request, partial(explain, champion, row.features))
        )

    async def reload(self, request: Request) -> Response:
        """Load the versions that the aliases point to, also those that were refused before."""
        self._admission.authenticate(request, KeyScope.ADMIN)
        await asyncio.to_thread(self._manager.refresh, retry_refused=True)
        return json_response(self._manager.status())

    async def model(self, request: Request) -> Response:
        """Return the served and refused versions."""
        self._admission.authenticate(request, KeyScope.ADMIN)
        return json_response(self._manager.status())

    async def live(self, _: Request) -> Response:
        """Report that the process responds."""
        return json_response({"status": "alive"})

    def _score(self, request: Request, key: ApiKey, body: bytes) -> DirectAnswer:
        """Return the preview, or a coroutine that does if it must wait: for reasons, or for a store on another machine.

        The rare cases of `preview_one` are left to the coroutine too.
        """
        transaction = decode(body, Transaction)
        self._admission.limit_rate(key, 1)
        self._admission.require_time_left(request)  # receiving the body may have taken long
        models = self._manager.served
        model = models.deciding(transaction.card_id)
        if model is None or self._previews.is_remote:
            return self._score_as_batch(request, transaction)
        made = self._previews.preview_one(transaction, model)
        if made is None:
            return self._score_as_batch(request, transaction)
        preview, alerts = made
        if alerts.indices:
            return self._score_with_reasons(request, models, preview, alerts)
        self._count(request, (preview,))
        return json_response(preview)

    async def _score_as_batch(self, request: Request, transaction: Transaction) -> Response:
        [preview] = await self._preview(request, [transaction])
        return json_response(preview)

    async def _score_with_reasons(
        self, request: Request, models: ServedModels, preview: Preview, alerts: UnexplainedAlerts
    ) -> Response:
        await self._add_reasons(request, models, [preview], alerts)
        self._count(request, (preview,))
        return json_response(preview)

    async def _preview(self, request: Request, transactions: Sequence[Transaction]) -> list[Preview]:
        self._admission.require_time_left(request)  # receiving the body may have taken long
        models = self._manager.served
        no_champion = self._invocations.no_champion() if models.champion is None else ""
        previews, alerts = await self._run(request, lambda: self._previews.preview(transactions, models, no_champion))
        await self._add_reasons(request, models, previews, alerts)
        self._count(request, previews)
        return previews

    async def _add_reasons(
        self, request: Request, models: ServedModels, previews: Sequence[Preview], alerts: UnexplainedAlerts
    ) -> None:
        """Add the reasons of the model's alerts, each by the model that decided."""
        for model in (models.champion, models.candidate):
            if model is None:
                continue
            version = model.version.version
            own = [place for place, index in enumerate(alerts.indices) if previews[index].model_version == version]
            if not own:
                continue
            for place, codes in zip(
                own, await self._invocations.reasons(request, model, alerts.features[own]), strict=True
            ):
                previews[alerts.indices[place]].reasons.extend(codes)

    def _count(self, request: Request, previews: Sequence[Preview]) -> None:
        self._metrics.count_previews(previews)
        if self._debug:
            log_previews(previews, time.perf_counter() - request.arrival_time)

    async def _run(self, request: Request, work: Callable[[], T]) -> T:
        """Return the result of `work`, which runs in a thread if it may wait for another machine.

        Raise `HttpError` if the thread has not finished by the deadline.
        """
        if not self._previews.is_remote:
            return work()
        with self._admission.remote_request():
            working = asyncio.get_running_loop().run_in_executor(self._threads, work)
            try:
                return await asyncio.wait_for(working, request.deadline - time.perf_counter())
            except TimeoutError as error:
                raise self._admission.deadline_error(request) from error
