"""Spans, made with OpenTelemetry.

A caller's trace context (https://www.w3.org/TR/trace-context/) decides whether its request or record is traced. Of
those without a context a given share is traced.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cardwatch.records import TRACEPARENT, Headers

CLOSE_SECONDS: Final = 5.0
"""Maximum time for sending pending spans when a process ends."""
QUEUED_SPANS: Final = 16_384
"""Maximum number of spans that wait to be sent, some 50 MB; more are dropped, and the log says so."""
MAX_LINKS: Final = 2_000
"""Maximum number of links of a span: one for each record of a batch."""

_LAST_DIGIT: Final = 54  # of the flags, whose last bit says whether the caller is sampled
_EVEN_DIGITS: Final = frozenset({b"0", b"2", b"4", b"6", b"8", b"a", b"c", b"e"})
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_READING_LOGS: Final = ("opentelemetry.trace.span", "opentelemetry.trace.propagation.tracecontext")
"""Loggers of what reads callers' contexts. They quote a `tracestate` that cannot be read, once for each."""


class Tracing:
    """The spans of one process. `share` in 0..1 is that of requests and records without a caller's trace context."""

    def __init__(self, service: str, exporter: SpanExporter, share: float) -> None:
        for name in _READING_LOGS:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._share = share
        self._ids = _TraceIds()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # `context_of` chooses: what is not sampled makes no span
            resource=Resource.create({SERVICE_NAME: f"cardwatch-{service}"}),
            id_generator=self._ids,
            span_limits=SpanLimits(max_links=MAX_LINKS),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUED_SPANS))
        self.tracer: Final[Tracer] = self._provider.get_tracer("cardwatch")

    def context_of(self, headers: Headers, chance: float) -> Context | None:
        """Return the context of a request or a record that is traced, None for one that is not.

        A caller's context is followed, and one that cannot be read counts as none. Without one, the context is empty,
        and `chance`, which is uniform in 0..1, must be below the share.
        """
        if is_unsampled(headers):
            return None
        if headers:
            context = _PROPAGATOR.extract({name: value.decode("latin-1") for name, value in headers})
            if get_current_span(context).get_span_context().is_valid:
                return context
        return Context() if chance < self._share else None

    def start_root(self, name: str, *, trace_id: int, kind: SpanKind) -> Span:
        """Start the first span of the trace with this id, which is not 0. Only one thread may do so at a time."""
        with self._ids.chosen(trace_id):
            return self.tracer.start_span(name, Context(), kind=kind)

    def close(self) -> None:
        """Send pending spans, for at most `CLOSE_SECONDS`; the library would send them for half a minute."""
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def headers_of(span: Span) -> Headers:
    """Return the headers that make a record or a request part of the span's trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span))
    return [(name, value.encode()) for name, value in carrier.items()]


def current_headers() -> dict[str, str]:
    """Return the headers of a request that is made within a span of this thread; none without one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


class _TraceIds(RandomIdGenerator):
    """Random ids, but for a trace whose id was chosen."""

    def __init__(self) -> None:
        self._chosen: int | None = None

    @contextmanager
    def chosen(self, trace_id: int) -> Iterator[None]:
        self._chosen = trace_id
        try:
            yield
        finally:
            self._chosen = None

    def generate_trace_id(self) -> int:
        return self._chosen or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return self._chosen is None


def is_unsampled(headers: Headers) -> bool:
    """Whether the flags in `traceparent`, two hexadecimal digits after version, trace and span, say "not sampled"."""
    for name, value in headers:
        if name == TRACEPARENT:
            return value[_LAST_DIGIT : _LAST_DIGIT + 1] in _EVEN_DIGITS
    return False
