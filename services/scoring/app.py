"""The HTTP surface: feature rows in, scores out.

    POST /invocations  float32 rows -> MessagePack of `cardwatch.ports.Scores`   (API key)
    POST /v1/score     one transaction as JSON -> what would be decided          (API key)
    POST /v1/reload    follow the alias now                                      (API key)
    GET  /v1/model     what is served, what was refused                          (API key)
    GET  /ping /livez /readyz                                                    (open)

Nothing that a caller sends is logged.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.scoring_client import REASONS_HEADER, ROW_TYPE, SCHEMA_HEADER, encode_scores
from cardwatch.errors import CardwatchError, InvalidRecord, SchemaMismatch, ScoringUnavailable
from cardwatch.events import Transaction, decode
from cardwatch.features.table import FEATURES, SCHEMA_HASH
from cardwatch.ports import Scores
from services.scoring.metrics import Metrics
from services.scoring.model_holder import ModelHolder, Served
from services.scoring.question import Question

MAX_ROWS: Final = 50_000
MAX_WAITING: Final = 64
"""Requests beyond these are refused at once: a caller with a deadline is better off deciding by its rules."""

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]

log = logging.getLogger(__name__)


class ScoringApi:
    """The endpoints, as methods. Models run in two threads, so that a health check never waits for a batch."""

    def __init__(self, holder: ModelHolder, question: Question, metrics: Metrics, api_key: str) -> None:
        self._holder = holder
        self._question = question
        self._metrics = metrics
        self._authorization = f"Bearer {api_key}".encode()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="score")
        self._waiting = 0

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                self._route("POST", "/invocations", self._with_key(self._invocations)),
                self._route("POST", "/v1/score", self._with_key(self._score)),
                self._route("POST", "/v1/reload", self._with_key(self._reload)),
                self._route("GET", "/v1/model", self._with_key(self._model)),
                self._route("GET", "/ping", self._readyz),
                self._route("GET", "/livez", self._livez),
                self._route("GET", "/readyz", self._readyz),
            ]
        )

    async def _invocations(self, request: Request) -> Response:
        served = self._served()
        asked = request.headers.get(SCHEMA_HEADER, "none")
        if asked != SCHEMA_HASH:
            raise SchemaMismatch(f"the rows have schema {asked}, the model {SCHEMA_HASH}")
        reasons_above = _threshold(request.headers.get(REASONS_HEADER))
        rows = _rows(await _body(request, MAX_ROWS * len(FEATURES) * ROW_TYPE.itemsize))
        scores = await self._in_thread(lambda: _scores(served, rows, reasons_above))
        self._metrics.scored(len(rows))
        return Response(encode_scores(scores), media_type="application/msgpack")

    async def _score(self, request: Request) -> Response:
        transaction = decode(await _body(request, 1 << 16), Transaction)
        served = self._served()
        return _json(await self._in_thread(lambda: self._question.ask(transaction, served)))

    async def _reload(self, _: Request) -> Response:
        await asyncio.to_thread(self._holder.look, again=True)
        return _json(self._holder.status())

    async def _model(self, _: Request) -> Response:
        return _json(self._holder.status())

    async def _livez(self, _: Request) -> Response:
        return _json({"status": "alive"})

    async def _readyz(self, _: Request) -> Response:
        served, status = self._served(), self._holder.status()
        return _json({"status": "ready", "version": served.version.version, "refused": status.refused})

    def _served(self) -> Served:
        served = self._holder.served
        if served is None:
            raise ScoringUnavailable(f"no champion: {self._holder.why_not_ready()}")
        return served

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise ScoringUnavailable(f"busy: {MAX_WAITING} requests are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def _with_key(self, endpoint: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            given = request.headers.get("Authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self._authorization):
                return _json({"error": "send the API key: Authorization: Bearer KEY"}, 401)
            return await endpoint(request)

        return checked

    def _route(self, method: str, path: str, endpoint: Endpoint) -> Route:
        async def answered(request: Request) -> Response:
            begin = time.perf_counter()
            try:
                response = await endpoint(request)
            except CardwatchError as error:
                response = _refusal(error)
            except Exception as error:
                response = _json({"error": f"internal error: {type(error).__name__}"}, 500)
                log.error("%s failed: %s", path, _where(error))
            self._metrics.answered(path, response.status_code, time.perf_counter() - begin)
            return response

        return Route(path, answered, methods=[method])


def _scores(served: Served, rows: NDArray[np.float32], reasons_above: float) -> Scores:
    margins = served.detector.margins(rows)
    probabilities = served.detector.probabilities(margins)
    reasons: list[list[str]] = [[] for _ in rows]
    wanted = np.flatnonzero(probabilities >= reasons_above)
    for position, codes in zip(wanted.tolist(), served.detector.reasons(rows[wanted]), strict=True):
        reasons[position] = codes
    return Scores(
        model_version=served.version.version,
        model_digest=served.version.digest,
        margins=margins,
        probabilities=probabilities,
        reasons=reasons,
    )


async def _body(request: Request, most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise InvalidRecord(f"the body is larger than {most_bytes:,} bytes")
    return bytes(body)


def _rows(body: bytes) -> NDArray[np.float32]:
    row_bytes = len(FEATURES) * ROW_TYPE.itemsize
    if not body or len(body) % row_bytes:
        raise InvalidRecord(f"{len(body)} bytes are not rows of {len(FEATURES)} float32 ({row_bytes} bytes each)")
    return np.frombuffer(body, ROW_TYPE).astype(np.float32, copy=False).reshape(-1, len(FEATURES))


def _threshold(header: str | None) -> float:
    if header is None:
        return np.inf
    try:
        return float(header)
    except ValueError as error:
        raise InvalidRecord(f"{REASONS_HEADER} is not a number") from error


def _refusal(error: CardwatchError) -> Response:
    if isinstance(error, InvalidRecord):
        return _json({"error": str(error), "field": error.field}, 422)
    if isinstance(error, SchemaMismatch):
        return _json({"error": str(error)}, 409)
    return _json({"error": str(error)}, 503 if error.retriable else 500)


def _where(error: Exception) -> str:
    # The place without the message, which could hold what the caller sent.
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}, {last.filename}:{last.lineno}"


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
