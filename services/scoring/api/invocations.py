"""Feature rows to scores, and whether there is a model to score with: all that an endpoint of SageMaker asks for.

Answers are made on the thread that serves: a score takes tens of microseconds, which is no reason to hand it to another
thread and wait for it. A long batch is made in slices with everybody else's turn between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from adapters.scoring.api_keys import KeyScope
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
from cardwatch.ports import Scores, Shadow
from services.scoring.api.request_log import is_asked_for, tell_of_scores
from services.scoring.http.admission import Admission
from services.scoring.http.routes import Endpoint, Refusal, Request, Response, json_answer
from services.scoring.metrics import ScoringMetrics
from services.scoring.model.manager import ModelManager, Served

MAX_ROWS: Final = 20_000
ROWS_AT_ONCE: Final = 512
REASONS_AT_ONCE: Final = 4
"""Each takes one or two milliseconds: so long others wait."""

ANSWER_TYPES: Final = {BINARY: MSGPACK, JSON: JSON, CSV: CSV}
"""The type of an answer by that of the request, where the caller does not ask for another."""
_BODY_BYTES_A_ROW: Final = {BINARY: 4 * len(FEATURES) + 8, JSON: 25 * len(FEATURES), CSV: 25 * len(FEATURES)}

T = TypeVar("T")


class Invocations:
    """The endpoints, as methods."""

    def __init__(self, holder: ModelManager, admission: Admission, metrics: ScoringMetrics) -> None:
        self._holder, self._admission, self._metrics = holder, admission, metrics
        self._tells: Final = is_asked_for()

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """By method and path."""
        return {("POST", "/invocations"): self.invocations, ("GET", "/ping"): self.ready}

    async def invocations(self, request: Request) -> Response:
        """Feature rows."""
        key = self._admission.key(request, KeyScope.SCORE)
        self._admission.admit(request)
        content_type = _content_type(request)
        accepted = _accepted(request, content_type)
        serving = self._holder.serving
        champion = self.champion(serving.champion)
        rows = decode_rows(
            await request.body(MAX_ROWS * _BODY_BYTES_A_ROW[content_type]), content_type, request.headers
        )
        if rows.schema_hash != SCHEMA_HASH:
            raise SchemaMismatch(f"the rows have schema {rows.schema_hash or 'none'}, the model {SCHEMA_HASH}")
        count = len(rows.features)
        if count > MAX_ROWS:
            raise Refusal(413, f"{count:,} rows are more than {MAX_ROWS:,}: send them in several requests")
        self._admission.count(key, count)
        scores = await self._scores(request, champion, serving.challenger, rows)
        self._metrics.scored(count)
        if self._tells:
            tell_of_scores(decode_ids(request.headers), scores)
        return Response(encode_scores(scores, accepted), content_type=accepted.encode())

    async def ready(self, _: Request) -> Response:
        """A champion is served; says what else is to be known."""
        champion, status = self.champion(self._holder.serving.champion), self._holder.status()
        return json_answer(
            {
                "status": "ready",
                "version": champion.version.version,
                "refused": status.refused,
                "problem": status.problem,
            }
        )

    def champion(self, champion: Served | None) -> Served:
        """`champion` itself; raises `ScoringUnavailable` if it is none."""
        if champion is None:
            raise ScoringUnavailable(self.no_champion())
        return champion

    def no_champion(self) -> str:
        """Why there is none, as callers are told."""
        return f"{NO_CHAMPION}: {self._holder.why_not_ready()}"

    async def reasons(self, request: Request, served: Served, features: NDArray[np.float32]) -> list[list[str]]:
        """Reason codes of each row; raises `Refusal` if the deadline passes before they are made."""
        parts = await self._in_turns(request, features, REASONS_AT_ONCE, served.detector.reasons)
        return [codes for part in parts for codes in part]

    async def _scores(self, request: Request, champion: Served, challenger: Served | None, rows: Rows) -> Scores:
        self._admission.require_time(request)
        margins, probabilities = await self._probabilities(request, champion, rows.features)
        reasons: list[list[str]] = [[] for _ in margins]
        wanted = np.flatnonzero(probabilities >= rows.reasons_above)
        for place, codes in zip(
            wanted.tolist(), await self.reasons(request, champion, rows.features[wanted]), strict=True
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
