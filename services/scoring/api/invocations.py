"""Scores for feature rows, and readiness: the endpoints that SageMaker requires.

Scores are computed in the event loop's thread, because a score of tens of microseconds takes less time than handing it
to another thread. A long batch is computed in slices, between which other requests are served. Explanations take half a
millisecond each: a thread computes them without the interpreter lock, so that requests without one do not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from adapters.scoring.api_keys import ApiKey, KeyScope
from adapters.scoring.wire_format import (
    BINARY,
    CSV,
    JSON,
    MSGPACK,
    NO_CHAMPION,
    Rows,
    decode_ids,
    decode_rows,
    encode_scores,
)
from cardwatch.errors import SchemaMismatch, ScoringUnavailable
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.ports import Canary, Scores
from services.scoring.api.request_log import debug_enabled, log_scores
from services.scoring.http.admission import Admission
from services.scoring.http.routes import (
    CompleteRequest,
    DirectAnswer,
    Endpoint,
    HttpError,
    Request,
    Response,
    json_response,
)
from services.scoring.metrics import ScoringMetrics
from services.scoring.model.manager import LoadedModel, ModelManager, ServedModels
from services.scoring.model.scores import scores_of

MAX_ROWS: Final = 20_000
SCORES_PER_SLICE: Final = 512
"""Rows per slice. A slice takes one or two milliseconds, for which other requests wait."""
REASONS_PER_SLICE: Final = 4
"""Rows per slice. A slice takes one or two milliseconds, for which other explanations wait."""

ANSWER_TYPES: Final = {BINARY: MSGPACK, JSON: JSON, CSV: CSV}
"""Content type of the response by that of the request, for requests without `Accept`."""
_MAX_BYTES_PER_ROW: Final = {BINARY: 4 * len(FEATURES) + 8, JSON: 25 * len(FEATURES), CSV: 25 * len(FEATURES)}
MAX_DIRECT_BYTES: Final = SCORES_PER_SLICE * _MAX_BYTES_PER_ROW[BINARY]
"""Maximum size of a body that is answered without ASGI: a slice of binary rows."""

T = TypeVar("T")


class _Call(NamedTuple):
    """A caller's key, and the content types of its request and of the response."""

    key: ApiKey
    content_type: str
    accepted: str


class Invocations:
    """The endpoints that SageMaker requires, as methods."""

    def __init__(self, manager: ModelManager, admission: Admission, metrics: ScoringMetrics) -> None:
        self._manager, self._admission, self._metrics = manager, admission, metrics
        self._debug: Final = debug_enabled()
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """Return the endpoints by method and path."""
        return {("POST", "/invocations"): self.invocations, ("GET", "/ping"): self.ready}

    async def invocations(self, request: Request) -> Response:
        """Score feature rows."""
        call = self._admit(request)
        body = await request.body(MAX_ROWS * _MAX_BYTES_PER_ROW[call.content_type])
        answer = self._answer(request, call, body)
        return answer if isinstance(answer, Response) else await answer

    def invocations_complete(self, request: CompleteRequest) -> DirectAnswer:
        """Do what `invocations` does, for `Routes.direct`."""
        return self._answer(request, self._admit(request), request.whole_body)

    async def ready(self, _: Request) -> Response:
        """Report that a champion is served, its version, and problems with following the aliases."""
        champion, status = self.require_champion(self._manager.served), self._manager.status()
        return json_response(
            {
                "status": "ready",
                "version": champion.version.version,
                "refused": status.refused,
                "problem": status.problem,
            }
        )

    def require_champion(self, models: ServedModels) -> LoadedModel:
        """Return the champion; raise `ScoringUnavailable` if there is none."""
        if models.champion is None:
            raise ScoringUnavailable(self.no_champion())
        return models.champion

    def no_champion(self) -> str:
        """Return the error message for a missing champion, with the reason."""
        return f"{NO_CHAMPION}: {self._manager.unavailable_reason()}"

    async def reasons(self, request: Request, model: LoadedModel, features: NDArray[np.float32]) -> list[list[str]]:
        """Return the reason codes of each row; raise `HttpError` if the deadline passes before they are computed."""
        codes: list[list[str]] = []
        for start in range(0, len(features), REASONS_PER_SLICE):
            part = features[start : start + REASONS_PER_SLICE]
            codes += await self.in_explaining_thread(request, partial(model.detector.reasons, part))
        return codes

    async def in_explaining_thread(self, request: Request, work: Callable[[], T]) -> T:
        """Return the result of `work`, which computes explanations, after those that were asked for before.

        Raise `HttpError` if the deadline passes first; work that has not begun is dropped then.
        """
        working = asyncio.get_running_loop().run_in_executor(self._explaining, work)
        try:
            return await asyncio.wait_for(working, request.deadline - time.perf_counter())
        except TimeoutError as error:
            raise self._admission.deadline_error(request) from error

    def _admit(self, request: Request) -> _Call:
        key = self._admission.admit(request, KeyScope.SCORE)
        content_type = _content_type(request)
        return _Call(key, content_type, _accepted(request, content_type))

    def _answer(self, request: Request, call: _Call, body: bytes) -> DirectAnswer:
        """Return the scores, or a coroutine that does if there are several slices, or reasons to wait for."""
        models = self._manager.served
        champion = self.require_champion(models)
        rows = decode_rows(body, call.content_type, request.headers)
        if rows.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(f"the rows have schema {rows.schema_hash or 'none'}, the model {SCHEMA_HASH}")
        count = len(rows.features)
        if count > MAX_ROWS:
            raise HttpError(413, f"{count:,} rows are more than {MAX_ROWS:,}: send them in several requests")
        self._admission.limit_rate(call.key, count)
        self._admission.require_time_left(request)
        served = [champion] if models.candidate is None else [champion, models.candidate]
        if count > SCORES_PER_SLICE:
            return self._answer_in_slices(request, call, models, served, rows)
        scores = scores_of(models, [model.detector.margins(rows.features) for model in served])
        if any((each.probabilities >= rows.reasons_above).any() for each in _explainable(scores)):
            return self._answer_with_reasons(request, call, models, rows, scores)
        return self._response(request, call, scores)

    async def _answer_in_slices(
        self, request: Request, call: _Call, models: ServedModels, served: Sequence[LoadedModel], rows: Rows
    ) -> Response:
        margins = [await self._margins_in_slices(request, model, rows.features) for model in served]
        return await self._answer_with_reasons(request, call, models, rows, scores_of(models, margins))

    async def _answer_with_reasons(
        self, request: Request, call: _Call, models: ServedModels, rows: Rows, scores: Scores
    ) -> Response:
        """Return the scores with the reasons of the rows above their threshold, of a canary's scores too."""
        for each in _explainable(scores):
            model = models.by_version(each.model_version)
            explained = np.flatnonzero(each.probabilities >= rows.reasons_above)
            if model is None or not len(explained):
                continue
            reasons = await self.reasons(request, model, rows.features[explained])
            for index, codes in zip(explained.tolist(), reasons, strict=True):
                each.reasons[index].extend(codes)
        return self._response(request, call, scores)

    async def _margins_in_slices(
        self, request: Request, model: LoadedModel, features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the margins of these rows, and let other requests run between the slices."""
        margins = []
        for start in range(0, len(features), SCORES_PER_SLICE):
            if start:
                await asyncio.sleep(0)
                self._admission.require_time_left(request)
            margins.append(model.detector.margins(features[start : start + SCORES_PER_SLICE]))
        return np.concatenate(margins)

    def _response(self, request: Request, call: _Call, scores: Scores) -> Response:
        self._metrics.count_rows(len(scores.margins))
        if self._debug:
            log_scores(decode_ids(request.headers), scores)
        return Response(encode_scores(scores, call.accepted), content_type=call.accepted.encode())


def _explainable(scores: Scores) -> Sequence[Scores | Canary]:
    """Return the scores that may decide, and so need reasons."""
    return (scores,) if scores.canary is None else (scores, scores.canary)


def _content_type(request: Request) -> str:
    header = request.headers.get(b"content-type", BINARY.encode()).decode("latin-1")
    content_type = header.partition(";")[0].strip().lower()
    if content_type not in ANSWER_TYPES:
        raise HttpError(415, f"the content type is none of {', '.join(ANSWER_TYPES)}")
    return content_type


def _accepted(request: Request, content_type: str) -> str:
    """Return the first supported type in `Accept`, or else the response type of `content_type`."""
    header = request.headers.get(b"accept", b"*/*").decode("latin-1").lower()
    accepted = [part.partition(";")[0].strip() for part in header.split(",")]
    return next((kind for kind in accepted if kind in ANSWER_TYPES.values()), ANSWER_TYPES[content_type])
