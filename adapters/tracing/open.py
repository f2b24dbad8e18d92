"""Opens tracing if the settings ask for it. Without it, OpenTelemetry is not imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from adapters.runtime.settings import Settings
from cardwatch.errors import Misconfigured
from cardwatch.records import Headers

if TYPE_CHECKING:
    from adapters.tracing.batches import BatchTracer
    from adapters.tracing.spans import Tracing


def tracing_of(settings: Settings, service: str) -> Tracing | None:
    """Return the tracing of a service, which the caller closes; None if `settings.traces_url` is empty.

    Raises `Misconfigured` if OpenTelemetry refuses one of its own variables.
    """
    if not settings.traces_url:
        return None
    try:
        from adapters.tracing.collector import CollectorExporter  # noqa: PLC0415 (off by default)
        from adapters.tracing.spans import Tracing  # noqa: PLC0415

        return Tracing(service, CollectorExporter(settings.traces_url), settings.traces_share)
    except (ValueError, RuntimeError) as error:
        raise Misconfigured(f"OpenTelemetry cannot use one of its own variables (OTEL_...): {error}") from error


def require_tracing(settings: Settings) -> None:
    """Raise `Misconfigured` if tracing is wanted and cannot be opened."""
    if (tracing := tracing_of(settings, "check")) is not None:
        tracing.close()


@contextmanager
def open_batch_tracer(settings: Settings, service: str) -> Iterator[BatchTracer | None]:
    """Yield the tracer of a stream worker, None if `settings.traces_url` is empty. At the end spans are sent."""
    tracing = tracing_of(settings, service)
    if tracing is None:
        yield None
        return
    from adapters.tracing.batches import BatchTracer  # noqa: PLC0415 (off by default)

    with closing(tracing):
        yield BatchTracer(tracing)


@contextmanager
def producer_span(settings: Settings, service: str, name: str) -> Iterator[Headers]:
    """Make the block a span, and yield the headers that make records part of its trace; none without tracing."""
    tracing = tracing_of(settings, service)
    if tracing is None:
        yield ()
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 (off by default)

    from adapters.tracing.spans import headers_of  # noqa: PLC0415

    with closing(tracing), tracing.tracer.start_as_current_span(name, kind=SpanKind.PRODUCER) as span:
        yield headers_of(span)
