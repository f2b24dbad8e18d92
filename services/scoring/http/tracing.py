"""Spans of requests whose caller is traced, and of a share of the others."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final, cast

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from adapters.tracing.spans import Tracing
from cardwatch.records import TRACE_HEADERS, Headers
from services.scoring.http.routes import CompleteRequest, DirectAnswer, Endpoint, Request, Response, status_of

_HEADERS: Final = tuple((name, name.encode()) for name in TRACE_HEADERS)
_FIRST_SERVER_ERROR: Final = 500


def traced(endpoints: Mapping[tuple[str, str], Endpoint], tracing: Tracing) -> dict[tuple[str, str], Endpoint]:
    """Return the endpoints, each within a span if the request is traced."""
    return {(method, path): _traced(endpoint, method, path, tracing) for (method, path), endpoint in endpoints.items()}


def traced_direct(
    direct: Callable[[CompleteRequest], DirectAnswer], path: str, tracing: Tracing
) -> Callable[[CompleteRequest], DirectAnswer]:
    """Return what answers a direct endpoint; if the request is traced, with a coroutine, within a span."""

    async def awaited(request: Request) -> Response:
        found = direct(cast(CompleteRequest, request))
        return found if isinstance(found, Response) else await found

    def answer(request: CompleteRequest) -> DirectAnswer:
        context = _context_of(request, tracing)
        return direct(request) if context is None else _in_span(awaited, request, context, "POST", path, tracing)

    return answer


def _traced(endpoint: Endpoint, method: str, path: str, tracing: Tracing) -> Endpoint:
    async def answer(request: Request) -> Response:
        context = _context_of(request, tracing)
        if context is None:
            return await endpoint(request)
        return await _in_span(endpoint, request, context, method, path, tracing)

    return answer


async def _in_span(
    endpoint: Endpoint, request: Request, context: Context, method: str, path: str, tracing: Tracing
) -> Response:
    # The text of an exception may quote the request, so it is not recorded.
    with tracing.tracer.start_as_current_span(
        f"{method} {path}", context, kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
    ) as span:
        span.set_attributes({"http.request.method": method, "http.route": path})
        try:
            response = await endpoint(request)
        except Exception as error:
            status = status_of(error)
            span.set_attribute("http.response.status_code", status)
            if status >= _FIRST_SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        span.set_attribute("http.response.status_code", response.status)
        return response


def _context_of(request: Request, tracing: Tracing) -> Context | None:
    return tracing.context_of(_trace_headers(request), random.random())  # noqa: S311 (chooses a sample)


def _trace_headers(request: Request) -> Headers:
    headers = request.headers
    return [(name, value) for name, key in _HEADERS if (value := headers.get(key)) is not None]
