"""Spans of requests whose caller is traced, and of a share of the others."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import SpanKind, Status, StatusCode

from adapters.tracing.otlp import Tracing
from cardwatch.records import TRACE_HEADERS, Headers
from services.scoring.http.routes import Endpoint, Request, Response, status_of

_HEADERS: Final = tuple((name, name.encode()) for name in TRACE_HEADERS)
_FIRST_SERVER_ERROR: Final = 500


def traced(endpoints: Mapping[tuple[str, str], Endpoint], tracing: Tracing) -> dict[tuple[str, str], Endpoint]:
    """Return the endpoints, each within a span if the request is traced."""
    return {(method, path): _traced(endpoint, method, path, tracing) for (method, path), endpoint in endpoints.items()}


def _traced(endpoint: Endpoint, method: str, path: str, tracing: Tracing) -> Endpoint:
    name = f"{method} {path}"

    async def answer(request: Request) -> Response:
        context = tracing.context_of(_trace_headers(request), random.random())  # noqa: S311 (chooses a sample)
        if context is None:
            return await endpoint(request)
        # The text of an exception may quote the request, so it is not recorded.
        with tracing.tracer.start_as_current_span(
            name, context, kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
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

    return answer


def _trace_headers(request: Request) -> Headers:
    headers = request.headers
    return [(name, value) for name, key in _HEADERS if (value := headers.get(key)) is not None]
