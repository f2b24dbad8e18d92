"""A collector of spans in this process, which takes OTLP over HTTP as a real one does."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from adapters.runtime.ports import LOOPBACK


class CollectedSpan(NamedTuple):
    """A span as the collector has received it; ids are hexadecimal, `links` are trace and span ids."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    begin_ns: int
    end_ns: int
    has_failed: bool
    attributes: dict[str, Any]
    links: list[tuple[str, str]]


class SpanCollector:
    """The received spans, in the order of their arrival, and the paths of all requests."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.paths: list[str] = []
        self.url = ""

    def named(self, name: str) -> list[CollectedSpan]:
        """Return the spans with this name."""
        return [span for span in list(self.spans) if span.name == name]

    def children(self, parent: CollectedSpan) -> list[CollectedSpan]:
        """Return the spans whose parent this one is, by begin."""
        found = [
            span for span in list(self.spans) if (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)
        ]
        return sorted(found, key=lambda span: span.begin_ns)

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of a request."""
        for of_resource in request.resource_spans:
            resource = {each.key: each.value.string_value for each in of_resource.resource.attributes}
            self.spans += [
                CollectedSpan(
                    service=resource["service.name"],
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    begin_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    has_failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes={
                        each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes
                    },
                    links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                )
                for scope in of_resource.scope_spans
                for span in scope.spans
            ]


@contextmanager
def span_collector() -> Iterator[SpanCollector]:
    """Run a collector on a free port of the loopback."""
    collector = SpanCollector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.paths.append(self.path)
            collector.take(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        collector.url = f"http://{LOOPBACK}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
