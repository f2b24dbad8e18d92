"""The endpoints.

    POST /invocations          feature rows -> scores: binary, JSON or CSV                        (key: score)
    POST /v1/score             one transaction -> what would be decided                           (score)
    POST /v1/score/batch       several, in their order                                            (score)
    POST /v1/explain           one transaction -> contributions of all features, reasons in words (explain)
    POST /v1/explain/features  a recorded feature row -> the same                                 (explain)
    POST /v1/reload            follow the aliases now                                             (admin)
    GET  /v1/model             what is served, what was refused                                   (admin)
    GET  /ping /livez /readyz  (open)

Answers are made on the thread that serves: a score takes tens of microseconds, which is no reason to hand it to another
thread and wait for it. A long batch is made in slices with everybody else's turn between them. Only what may wait for
another machine goes to a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from adapters.api_keys import KeyScope
from adapters.scoring_wire import (
    BINARY,
    CSV,
    JSON,
    MSGPACK,
    NO_CHAMPION,
    Rows,
    decode_ids,
    decode_row,
    decode_rows,
    encode_scores,
)
from cardwatch.errors import InvalidRecord, SchemaMismatch, ScoringUnavailable
from cardwatch.events import Transaction, decode, decode_all
from cardwatch.features.table import FEATURES, SCHEMA_HASH
from cardwatch.ports import Scores, Shadow
from services.scoring import question as asking
from services.scoring.admission import Admission
from services.scoring.explanation import explain
from services.scoring.http import Answer, Endpoint, Refusal, Request, json_answer
from services.scoring.metrics import Metrics
from services.scoring.model_holder import ModelHolder, Served
from services.scoring.question import Question
from services.scoring.telling import is_asked_for, tell_of_answers, tell_of_explanation, tell_of_scores

THREADS: Final = 8
"""For reads that wait for another machine; each holds a connection to it."""
MOST_ROWS: Final = 20_000
MOST_TRANSACTIONS: Final = 500
MOST_TRANSACTION_BYTES: Final = 16_384
MOST_BATCH_BYTES: Final = MOST_TRANSACTIONS * 1_024
MOST_FEATURES_BYTES: Final = 65_536
ROWS_AT_ONCE: Final = 512
REASONS_AT_ONCE: Final = 4
"""Each takes one or two milliseconds: so long others wait."""

ANSWER_TYPES: Final = {BINARY: MSGPACK, JSON: JSON, CSV: CSV}
"""The type of an answer by that of the request, where the caller does not ask for another."""
_BODY_BYTES_A_ROW: Final = {BINARY: 4 * len(FEATURES) + 8, JSON: 25 * len(FEATURES), CSV: 25 * len(FEATURES)}

T = TypeVar("T")


class ScoringApi:
    """The endpoints, as methods."""

    def __init__(self, holder: ModelHolder, question: Question, admission: Admission, metrics: Metrics) -> None:
        self._holder, self._question, self._admission, self._metrics = holder, question, admission, metrics
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="remote-store")
        self._tells: Final = is_asked_for()

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """By method and path."""
        return {
            ("POST", "/invocations"): self.invocations,
            ("POST", "/v1/score"): self.score,
            ("POST", "/v1/score/batch"): self.score_batch,
            ("POST", "/v1/explain"): self.explain,
            ("POST", "/v1/explain/features"): self.explain_features,
            ("POST", "/v1/reload"): self.reload,
            ("GET", "/v1/model"): self.model,
            ("GET", "/ping"): self.ready,
            ("GET", "/readyz"): self.ready,
            ("GET", "/livez"): self.live,
        }

    async def score(self, request: Request) -> Answer:
        """One transaction."""
        key = self._admission.key(request, KeyScope.SCORE)
        self._admission.admit(request)
        transaction = decode(await request.body(MOST_TRANSACTION_BYTES), Transaction)
        self._admission.count(key, 1)
        [answer] = await self._ask(request, [transaction])
        return json_answer(answer)

    async def score_batch(self, request: Request) -> Answer:
        """Several transactions; all are answered by one model, or none is."""
        key = self._admission.key(request, KeyScope.SCORE)
        self._admission.admit(request)
        body = await request.body(MOST_BATCH_BYTES)
        transactions = decode_all(body, Transaction, most=MOST_TRANSACTIONS)
        self._admission.count(key, len(transactions))
        return json_answer(await self._ask(request, transactions))

    async def invocations(self, request: Request) -> Answer:
        """Feature rows."""
        key = self._admission.key(request, KeyScope.SCORE)
        self._admission.admit(request)
        content_type = _content_type(request)
        accepted = _accepted(request, content_type)
        serving = self._holder.serving
        champion = self._champion(serving.champion)
        rows = decode_rows(
            await request.body(MOST_ROWS * _BODY_BYTES_A_ROW[content_type]), content_type, request.headers
        )
        if rows.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(f"the rows have schema {rows.schema_hash or 'none'}, the model {SCHEMA_HASH}")
        count = len(rows.features)
        if count > MOST_ROWS:
            raise Refusal(413, f"{count:,} rows are more than {MOST_ROWS:,}: send them in several requests")
        self._admission.count(key, count)
        scores = await self._scores(request, champion, serving.challenger, rows)
        self._metrics.scored(count)
        if self._tells:
            tell_of_scores(decode_ids(request.headers), scores)
        return Answer(encode_scores(scores, accepted), content_type=accepted.encode())

    async def explain(self, request: Request) -> Answer:
        """Why a transaction would be scored as it would be."""
        key = self._admission.key(request, KeyScope.EXPLAIN)
        self._admission.admit(request)
        self._admission.count(key, 1)
        transaction = decode(await request.body(MOST_TRANSACTION_BYTES), Transaction)
        champion = self._champion(self._holder.serving.champion)
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

    async def explain_features(self, request: Request) -> Answer:
        """Why a recorded feature row is scored as it is."""
        key = self._admission.key(request, KeyScope.EXPLAIN)
        self._admission.admit(request)
        self._admission.count(key, 1)
        asked = decode_row(await request.body(MOST_FEATURES_BYTES))
        if asked.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(f"the row has schema {asked.schema_hash}, the model {SCHEMA_HASH}")
        return json_answer(explain(self._champion(self._holder.serving.champion), asked.features))

    async def reload(self, request: Request) -> Answer:
        """Look at the registry now, also at versions that were refused."""
        self._admission.key(request, KeyScope.ADMIN)
        await asyncio.to_thread(self._holder.look, again=True)
        return json_answer(self._holder.status())

    async def model(self, request: Request) -> Answer:
        """What is served."""
        self._admission.key(request, KeyScope.ADMIN)
        return json_answer(self._holder.status())

    async def live(self, _: Request) -> Answer:
        """The process answers."""
        return json_answer({"status": "alive"})

    async def ready(self, _: Request) -> Answer:
        """A champion is served; says what else is to be known."""
        champion, status = self._champion(self._holder.serving.champion), self._holder.status()
        return json_answer(
            {
                "status": "ready",
                "version": champion.version.version,
                "refused": status.refused,
                "problem": status.problem,
            }
        )

    def _champion(self, champion: Served | None) -> Served:
        if champion is None:
            raise ScoringUnavailable(self._no_champion())
        return champion

    def _no_champion(self) -> str:
        return f"{NO_CHAMPION}: {self._holder.why_not_ready()}"

    async def _ask(self, request: Request, transactions: Sequence[Transaction]) -> list[asking.Answer]:
        self._admission.require_time(request)  # its body may have been slow
        champion = self._holder.serving.champion
        no_champion = self._no_champion() if champion is None else ""
        if self._question.may_wait:
            answers, alerts = await self._elsewhere(
                request, lambda: self._question.ask(transactions, champion, no_champion)
            )
        else:
            answers, alerts = self._question.ask(transactions, champion, no_champion)
        if champion is not None and alerts.places:
            codes = await self._reasons(request, champion, alerts.features)
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

    async def _scores(self, request: Request, champion: Served, challenger: Served | None, rows: Rows) -> Scores:
        self._admission.require_time(request)
        margins, probabilities = await self._probabilities(request, champion, rows.features)
        reasons: list[list[str]] = [[] for _ in margins]
        wanted = np.flatnonzero(probabilities >= rows.reasons_above)
        for place, codes in zip(
            wanted.tolist(), await self._reasons(request, champion, rows.features[wanted]), strict=True
        ):
            reasons[place] = codes
        shadow = None
        if challenger is not None:
            by_challenger = await self._probabilities(request, challenger, rows.features)
            shadow = Shadow(
                model_version=challenger.version.version,
                model_digest=challenger.version.digest,
                margins=by_challenger[0],
                probabilities=by_challenger[1],
            )
        return Scores(
            model_version=champion.version.version,
            model_digest=champion.version.digest,
            margins=margins,
            probabilities=probabilities,
            reasons=reasons,
            shadow=shadow,
        )

    async def _probabilities(
        self, request: Request, served: Served, features: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        margins = np.concatenate(await self._in_turns(request, features, ROWS_AT_ONCE, served.detector.margins))
        return margins, served.detector.probabilities(margins)

    async def _reasons(self, request: Request, served: Served, features: NDArray[np.float32]) -> list[list[str]]:
        parts = await self._in_turns(request, features, REASONS_AT_ONCE, served.detector.reasons)
        return [codes for part in parts for codes in part]

    async def _in_turns(
        self, request: Request, features: NDArray[np.float32], most: int, work: Callable[[NDArray[np.float32]], T]
    ) -> list[T]:
        """`work` on so many rows at a time, with everybody else's turn in between."""
        results = []
        for start in range(0, len(features), most):
            if start:
                await asyncio.sleep(0)
                self._admission.require_time(request)
            results.append(work(features[start : start + most]))
        return results


def _content_type(request: Request) -> str:
    said = request.headers.get(b"content-type", BINARY.encode()).decode("latin-1")
    content_type = said.partition(";")[0].strip().lower()
    if content_type not in ANSWER_TYPES:
        raise Refusal(415, f"the content type is none of {', '.join(ANSWER_TYPES)}")
    return content_type


def _accepted(request: Request, content_type: str) -> str:
    """The type of the answer: the first in `Accept` that we can give, else what goes with the request's."""
    said = request.headers.get(b"accept", b"*/*").decode("latin-1").lower()
    wanted = [part.partition(";")[0].strip() for part in said.split(",")]
    return next((kind for kind in wanted if kind in ANSWER_TYPES.values()), ANSWER_TYPES[content_type])
