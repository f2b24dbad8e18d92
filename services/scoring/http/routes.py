"""HTTP as the hot path speaks it: raw ASGI, a dictionary of routes, and an answer to everything.

A framework's request and response objects cost as much as the score. What is here is less than that, and must do one
thing a framework does: whatever an endpoint raises becomes an answer, for an exception that escapes a raw application
leaves its caller waiting.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from cardwatch.errors import CardwatchError, InvalidRecord, KeyUnknown, SchemaMismatch, ScopeMissing, Unavailable
from services.scoring.metrics import ScoringMetrics

ARRIVED: Final = "cardwatch.arrived"
TASKS: Final = "cardwatch.tasks"
WHOLE: Final = "cardwatch.whole"
"""The keys of an ASGI scope under which our protocol notes when a request's first bytes were read (`perf_counter`), the
tasks of all requests that have arrived and not been answered, and a call that takes an answer whole."""

log = logging.getLogger(__name__)


class Response(NamedTuple):
    """What goes back."""

    body: bytes
    status: int = 200
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Refusal(Exception):
    """An answer that is no success, raised from anywhere below an endpoint."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())


class Request:
    """One request; `deadline` is a `perf_counter` time, set by who admits it."""

    __slots__ = ("_receive", "arrived", "deadline", "headers", "waiting")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.arrived: float = scope.get(ARRIVED) or time.perf_counter()
        self.waiting = len(scope.get(TASKS, ()))
        self.deadline = float("inf")

    async def body(self, most_bytes: int) -> bytes:
        """The whole body; raises `Refusal` 413 for a longer one, without reading on, and 400 for half of one."""
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:18]) > most_bytes:
            raise _too_large(most_bytes)
        message = await self._receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return self._whole(message, body, most_bytes)
        parts, length = [body], len(body)
        while message.get("more_body"):
            message = await self._receive()
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > most_bytes:
                raise _too_large(most_bytes)
        return self._whole(message, b"".join(parts), most_bytes)

    @staticmethod
    def _whole(message: Mapping[str, Any], body: bytes, most_bytes: int) -> bytes:
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the connection was closed before the request was whole")
        if len(body) > most_bytes:
            raise _too_large(most_bytes)
        return body


Endpoint = Callable[[Request], Awaitable[Response]]


class Routes:
    """Paths to endpoints; the methods of one path share it. Counts and times every answer."""

    def __init__(self, endpoints: Mapping[tuple[str, str], Endpoint], metrics: ScoringMetrics) -> None:
        self._paths: dict[str, dict[str, Endpoint]] = {}
        for (method, path), endpoint in endpoints.items():
            self._paths.setdefault(path, {})[method] = endpoint
        self._metrics = metrics

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Response a request to one of the paths."""
        begin = time.perf_counter()
        path: str = scope["path"]
        try:
            endpoint = self._paths[path].get(scope["method"])
            if endpoint is None:
                answer = _method_not_allowed(self._paths[path])
            else:
                answer = await endpoint(Request(scope, receive))
        except Exception as error:
            answer = refuse(error, path)
        self._metrics.answered(path, answer.status, time.perf_counter() - begin)
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.headers,
        ]
        whole = scope.pop(WHOLE, None)  # else it and the scope would hold each other, garbage for the collector
        if whole is None or not whole(answer.status, headers, answer.body):
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})


_STATUSES: Final[tuple[tuple[type[CardwatchError], int, tuple[tuple[bytes, bytes], ...]], ...]] = (
    (InvalidRecord, 422, ()),
    (KeyUnknown, 401, ((b"www-authenticate", b"Bearer"),)),
    (ScopeMissing, 403, ()),
    (SchemaMismatch, 409, ()),
    (Unavailable, 503, ((b"retry-after", b"1"),)),
    (CardwatchError, 500, ()),
)


def refuse(error: Exception, path: str) -> Response:
    """The answer to a request that raised `error`. Nothing that the caller sent is logged."""
    if isinstance(error, Refusal):
        return json_answer({"error": str(error)}, error.status, *error.headers)
    for kind, status, headers in _STATUSES:
        if isinstance(error, kind):
            where = {"field": error.field} if isinstance(error, InvalidRecord) else {}
            return json_answer({"error": str(error), **where}, status, *headers)
    log.error("%s failed: %s", path, _where(error))
    return json_answer({"error": f"internal error: {type(error).__name__}"}, 500)


def json_answer(content: object, status: int = 200, *headers: tuple[bytes, bytes]) -> Response:
    """`content` as JSON."""
    return Response(_ENCODER.encode(content), status, headers=headers)


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most_bytes:,} bytes", connection="close")


def _method_not_allowed(endpoints: Mapping[str, Endpoint]) -> Response:
    allowed = ", ".join(sorted(endpoints))
    return json_answer({"error": f"this path takes {allowed}"}, 405, (b"allow", allowed.encode()))


def _where(error: Exception) -> str:
    # The place without the message, which could hold what the caller sent.
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}, {last.filename}:{last.lineno}"


_ENCODER: Final = msgspec.json.Encoder()
