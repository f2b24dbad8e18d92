"""Spans are sent to a collector; one that takes none costs a line of the log a minute, and a limited time."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from adapters.runtime.addresses import HttpUrl
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings
from adapters.tracing import collector
from adapters.tracing.collector import SUMMARY_SECONDS, CollectorExporter
from adapters.tracing.open import require_tracing
from adapters.tracing.spans import CLOSE_SECONDS, Tracing
from cardwatch.errors import Misconfigured
from tests.integration.span_collector import span_collector


@pytest.mark.parametrize(("path", "asked"), [("", "/v1/traces"), ("/", "/v1/traces"), ("/own/path", "/own/path")])
def test_pending_spans_are_sent_at_the_end_to_the_address_of_the_protocol_or_the_given_one(
    path: str, asked: str
) -> None:
    with span_collector() as collector:
        traced = Tracing("test", CollectorExporter(HttpUrl(collector.url + path)), share=1.0)
        traced.tracer.start_span("part").end()
        traced.close()
        assert collector.paths == [asked]
        assert [(span.service, span.name) for span in collector.spans] == [("cardwatch-test", "part")]


def test_a_collector_that_is_away_or_silent_delays_the_end_of_a_process_by_no_more_than_the_limit() -> None:
    [nobody] = free_ports(1)
    with socket.create_server((LOOPBACK, 0)) as silent:
        ports = [nobody, silent.getsockname()[1]]
        both = [Tracing("test", CollectorExporter(HttpUrl(f"http://{LOOPBACK}:{port}")), share=1.0) for port in ports]
        for traced in both:
            for _ in range(5_000):  # ten batches
                traced.tracer.start_span("part").end()
        begin = time.monotonic()
        with ThreadPoolExecutor() as pool:
            list(pool.map(Tracing.close, both))
        assert time.monotonic() - begin < 2 * CLOSE_SECONDS


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a server that refuses every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(400, "wrong address")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://user:hunter2@{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


def a_span() -> ReadableSpan:
    span = TracerProvider().get_tracer("test").start_span("part")
    span.end()
    assert isinstance(span, ReadableSpan)
    return span


def test_a_collector_that_refuses_spans_is_told_once_in_a_while_with_the_reason_and_without_the_login(
    refusing: str, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    exporter = CollectorExporter(HttpUrl(refusing), lambda: now)
    for _ in range(5):
        exporter.export([a_span(), a_span()])
    now += SUMMARY_SECONDS
    exporter.export([a_span()])
    exporter.shutdown()
    shown = refusing.replace("user:hunter2@", "")
    reason = "Failed to export spans batch code: 400, reason: wrong address"
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"the collector at {shown} does not take spans, {lost} are lost: {reason}") for lost in (2, 9)
    ]


def test_a_collector_that_is_silent_after_a_refusal_is_told_without_the_older_reason(
    refusing: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "EXPORT_SECONDS", 0.2)
    CollectorExporter(HttpUrl(refusing)).export([a_span()])
    with socket.create_server((LOOPBACK, 0)) as silent:
        CollectorExporter(HttpUrl(f"http://{LOOPBACK}:{silent.getsockname()[1]}")).export([a_span()])
    refused, timed_out = (record.getMessage() for record in caplog.records)
    assert "reason: wrong address" in refused
    assert timed_out.endswith("1 are lost: no answer within 0.2 s, or it asks to be called later")


def test_a_variable_that_opentelemetry_refuses_is_an_error_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "-1")
    require_tracing(Settings())
    with pytest.raises(Misconfigured, match=r"variables \(OTEL_...\): schedule_delay_millis must be positive"):
        require_tracing(Settings(traces_url=HttpUrl(f"http://{LOOPBACK}:9")))
