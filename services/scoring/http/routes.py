"""Routing of HTTP requests to endpoints, on plain ASGI.

The request and response objects of a web framework would cost as much time as a score. Like a framework, `Routes` turns
every exception of an endpoint into a response: an exception that leaves an ASGI application leaves its caller waiting.

ASGI needs a task, a scope and several coroutines per request, which take as long as a third of a score. A
`DirectEndpoint` is called by `TimeoutProtocol` without them.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Final, NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from cardwatch.errors import CardwatchError, InvalidRecord, KeyUnknown, SchemaMismatch, ScopeMissing, Unavailable
from services.scoring.metrics import ScoringMetrics

ARRIVAL_TIME: Final = "cardwatch.arrived"
PENDING_TASKS: Final = "cardwatch.tasks"
WRITE_RESPONSE: Final = "cardwatch.whole"
"""Keys of the ASGI scope that `TimeoutProtocol` sets: when the first bytes of the request were read (`perf_counter`),
the tasks of all requests without a response yet, and a function that writes a complete response."""

log = logging.getLogger(__name__)


class Response(NamedTuple):
    """An HTTP response."""

    body: bytes
    status: int = 200
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers with content type and length."""
        length = b"%d" % len(self.body)
        return [(b"content-type", self.content_type), (b"content-length", length), *self.headers]


class HttpError(Exception):
    """An error response, raised from an endpoint or below. Underscores in the names of `headers` become dashes."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())


class Request:
    """A request. `arrival_time` and `deadline` are `perf_counter` times; `Admission.admit` sets the deadline.

    `pending` is the number of requests of this worker without a response yet, this one included.
    """

    __slots__ = ("_receive", "arrival_time", "deadline", "headers", "pending")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.arrival_time: float = scope.get(ARRIVAL_TIME) or time.perf_counter()
        self.pending = len(scope.get(PENDING_TASKS, ()))
        self.deadline = float("inf")

    async def body(self, max_bytes: int) -> bytes:
        """Return the complete body.

        Raise `HttpError` 413 as soon as it is longer than `max_bytes`, and 400 if the connection closes before its end.
        """
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:18]) > max_bytes:
            raise _too_large(max_bytes)
        parts: list[bytes] = []
        length, more = 0, True
        while more:
            message = await self._receive()
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > max_bytes:
                raise _too_large(max_bytes)
            more = message.get("more_body", False)
        if message["type"] == "http.disconnect":
            raise HttpError(400, "the connection was closed before the request was whole")
        return b"".join(parts)


Endpoint = Callable[[Request], Awaitable[Response]]
DirectAnswer = Response | Coroutine[None, None, Response]
"""A response, or a coroutine that returns it, if it must wait."""


class CompleteRequest(Request):
    """A request whose body is complete: `whole_body`."""

    __slots__ = ("whole_body",)

    def __init__(self, headers: Mapping[bytes, bytes], body: bytes = b"") -> None:
        self.headers, self.whole_body = headers, body
        self.arrival_time, self.deadline, self.pending = time.perf_counter(), float("inf"), 1


class DirectEndpoint(NamedTuple):
    """The function that answers a POST request for `path` whose body is complete and has at most `max_bytes`."""

    path: str
    answer: Callable[[CompleteRequest], DirectAnswer]
    max_bytes: int


class Routes:
    """Call the endpoint of a method and path, and count and time every response."""

    def __init__(self, endpoints: Mapping[tuple[str, str], Endpoint], metrics: ScoringMetrics) -> None:
        self._paths: dict[str, dict[str, Endpoint]] = {}
        for (method, path), endpoint in endpoints.items():
            self._paths.setdefault(path, {})[method] = endpoint
        self._metrics = metrics

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request for one of the paths."""
        begin = time.perf_counter()
        path: str = scope["path"]
        try:
            endpoint = self._paths[path].get(scope["method"])
            if endpoint is None:
                response = _method_not_allowed(self._paths[path])
            else:
                response = await endpoint(Request(scope, receive))
        except Exception as error:
            response = error_response(error, path)
        self._metrics.count_response(path, response.status, time.perf_counter() - begin)
        write = scope.pop(WRITE_RESPONSE, None)  # breaks the reference cycle between the function and the scope
        if write is None or not write(response):
            await send_response(response, send)

    def direct(self, path: str, answer: Callable[[CompleteRequest], DirectAnswer], max_bytes: int) -> DirectEndpoint:
        """Return a direct endpoint that applies the rules of `handle` to what `answer` returns or raises."""

        def respond(request: CompleteRequest) -> DirectAnswer:
            begin = time.perf_counter()
            try:
                response = answer(request)
            except Exception as error:
                response = error_response(error, path)
            if not isinstance(response, Response):
                return self._awaited(path, response, begin)
            self._metrics.count_response(path, response.status, time.perf_counter() - begin)
            return response

        return DirectEndpoint(path, respond, max_bytes)

    async def _awaited(self, path: str, answer: Awaitable[Response], begin: float) -> Response:
        try:
            response = await answer
        except Exception as error:
            response = error_response(error, path)
        self._metrics.count_response(path, response.status, time.perf_counter() - begin)
        return response


async def send_response(response: Response, send: Send) -> None:
    """Send a response as two ASGI messages."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.all_headers()})
    await send({"type": "http.response.body", "body": response.body})


_STATUSES: Final[tuple[tuple[type[CardwatchError], int, tuple[tuple[bytes, bytes], ...]], ...]] = (
    (InvalidRecord, 422, ()),
    (KeyUnknown, 401, ((b"www-authenticate", b"Bearer"),)),
    (ScopeMissing, 403, ()),
    (SchemaMismatch, 409, ()),
    (Unavailable, 503, ((b"retry-after", b"1"),)),
    (CardwatchError, 500, ()),
)


def status_of(error: Exception) -> int:
    """Return the status of the response to a request whose endpoint raised `error`."""
    if isinstance(error, HttpError):
        return error.status
    return next((status for kind, status, _ in _STATUSES if isinstance(error, kind)), 500)


def error_response(error: Exception, path: str) -> Response:
    """Return the response to a request whose endpoint raised `error`. Nothing that the caller sent is logged."""
    if isinstance(error, HttpError):
        return json_response({"error": str(error)}, error.status, *error.headers)
    for kind, status, headers in _STATUSES:
        if isinstance(error, kind):
            field = {"field": error.field} if isinstance(error, InvalidRecord) else {}
            return json_response({"error": str(error), **field}, status, *headers)
    log.error("%s failed: %s", path, _location(error))
    return json_response({"error": f"internal error: {type(error).__name__}"}, 500)


def json_response(content: object, status: int = 200, *headers: tuple[bytes, bytes]) -> Response:
    """Return a response with `content` as JSON."""
    return Response(_ENCODER.encode(content), status, headers=headers)


def _too_large(max_bytes: int) -> HttpError:
    return HttpError(413, f"the body is larger than {max_bytes:,} bytes", connection="close")


def _method_not_allowed(endpoints: Mapping[str, Endpoint]) -> Response:
    allowed = ", ".join(sorted(endpoints))
    return json_response({"error": f"this path takes {allowed}"}, 405, (b"allow", allowed.encode()))


def _location(error: Exception) -> str:
    """Return type and source line of an error, without its message, which may quote the request."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}, {last.filename}:{last.lineno}"


_ENCODER: Final = msgspec.json.Encoder()
