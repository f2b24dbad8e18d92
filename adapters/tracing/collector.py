"""Sends spans to a collector by OTLP over HTTP, and logs once in a while that it does not take them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from adapters.runtime.addresses import HttpUrl, plain, split_userinfo

EXPORT_SECONDS: Final = 5
"""Maximum time for sending a batch of spans."""
SUMMARY_SECONDS: Final = 60.0
"""Minimum time between two lines of the log about a collector that takes no spans."""

_TRACES_PATH: Final = "/v1/traces"
_LIBRARY: Final = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")

log = logging.getLogger(__name__)


class _NewestReason(logging.Filter):
    """Keeps the reason in the newest line of the library's log, and drops the line."""

    reason = ""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "due to timeout" not in text:  # the line after the reason
            self.reason = text
        return False


_NEWEST: Final = _NewestReason()


class CollectorExporter(SpanExporter):
    """The exporter of OpenTelemetry, but for its log: it writes several lines for each request that fails.

    An address without a path gets that of the protocol, `/v1/traces`. The variables of OpenTelemetry for headers,
    certificates and compression apply (`OTEL_EXPORTER_OTLP_HEADERS` ...). `now_seconds` is a monotonic clock.
    """

    def __init__(self, url: HttpUrl, now_seconds: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(plain(url))
        path = parts.path if parts.path.strip("/") else _TRACES_PATH
        self._shown = split_userinfo(url)[0]
        self._exporter = OTLPSpanExporter(urlunsplit(parts._replace(path=path)), timeout=EXPORT_SECONDS)
        self._now_seconds, self._next_summary, self._lost = now_seconds, now_seconds(), 0
        _LIBRARY.addFilter(_NEWEST)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; those that the collector does not take in time are lost."""
        _NEWEST.reason = ""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            return result
        self._lost += len(spans)
        if self._now_seconds() >= self._next_summary:
            reason = _NEWEST.reason or f"no answer within {EXPORT_SECONDS} s, or it asks to be called later"
            log.warning("the collector at %s does not take spans, %d are lost: %s", self._shown, self._lost, reason)
            self._next_summary, self._lost = self._now_seconds() + SUMMARY_SECONDS, 0
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
