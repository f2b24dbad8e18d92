"""Spans of requests: in the caller's trace, with the status, and without anything that the caller sent."""

from __future__ import annotations

import asyncio
import json

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from adapters.tracing.spans import Tracing
from services.scoring.http.routes import CompleteRequest, Request, Response, Routes
from services.scoring.http.tracing import traced, traced_direct
from services.scoring.metrics import ScoringMetrics
from tests.unit.services.scoring.worker import FIRST, OWN, BodyParts, Reply, Service, respond

CALLER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
PATH = "/v1/score"
UNSAMPLED = {"traceparent": CALLER["traceparent"][:-2] + "00"}


class TracedService:
    """The endpoints of a worker, within spans."""

    def __init__(self, service: Service, metrics: ScoringMetrics, share: float = 0.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing("scoring", self._exporter, share)
        self._api = service.api
        self._routes = Routes(traced(service.api.endpoints(), self.tracing), metrics)

    def score(self, body: bytes, *, key: str = OWN, **headers: str) -> Reply:
        named = {"Authorization": f"Bearer {key}", **headers}
        return asyncio.run(respond(self._routes, "POST", "/v1/score", BodyParts([body]), named))

    def score_directly(self, body: bytes, **headers: str) -> Response:
        """Return the response of the direct endpoint, which is awaited if the request is traced."""
        named = {"authorization": f"Bearer {OWN}", **headers}
        complete = CompleteRequest({name.encode(): value.encode() for name, value in named.items()}, body)
        direct = self._routes.direct(PATH, traced_direct(self._api.score_complete, PATH, self.tracing), 10_000)
        answer = direct.answer(complete)
        assert isinstance(answer, Response) == ("traceparent" not in headers)
        return answer if isinstance(answer, Response) else asyncio.run(answer)  # type: ignore[arg-type]

    def spans(self) -> list[ReadableSpan]:
        self.tracing.close()
        return list(self._exporter.get_finished_spans())


def test_a_request_of_a_traced_caller_is_a_span_in_its_trace(service: Service, metrics: ScoringMetrics) -> None:
    wrapped = TracedService(service, metrics)
    assert wrapped.score(FIRST, **CALLER).status == 200
    [span] = wrapped.spans()
    assert span.name == "POST /v1/score"
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" in CALLER["traceparent"]
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200


def test_a_request_of_an_unsampled_caller_is_no_span_and_one_without_caller_is_by_the_share(
    service: Service, metrics: ScoringMetrics
) -> None:
    wrapped = TracedService(service, metrics, share=1.0)
    assert wrapped.score(FIRST, **UNSAMPLED).status == 200
    assert wrapped.score(FIRST).status == 200
    [span] = wrapped.spans()
    assert span.parent is None


@pytest.mark.parametrize(("body", "status"), [(FIRST, 200), (b"{}", 422)])
def test_a_direct_request_of_a_traced_caller_is_a_span_and_another_one_is_none(
    service: Service, metrics: ScoringMetrics, body: bytes, status: int
) -> None:
    wrapped = TracedService(service, metrics)
    by_span, without = wrapped.score_directly(body, **CALLER), wrapped.score_directly(body)
    assert (by_span.status, by_span.body) == (without.status, without.body)
    [span] = wrapped.spans()
    assert span.name == f"POST {PATH}"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == status


@pytest.mark.parametrize(
    ("body", "key", "status"), [(b'{"card_id": "4111111111111111"}', OWN, 422), (FIRST, "another", 401)]
)
def test_a_refused_request_has_its_status_and_nothing_of_what_was_sent(
    service: Service, metrics: ScoringMetrics, body: bytes, key: str, status: int
) -> None:
    wrapped = TracedService(service, metrics)
    assert wrapped.score(body, key=key, **CALLER).status == status
    [span] = wrapped.spans()
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == status
    assert span.status.status_code is StatusCode.UNSET  # the caller has failed, not the service
    assert list(span.events) == []
    shown = json.dumps(json.loads(span.to_json()))
    assert "4111111111111111" not in shown
    assert key not in shown


def test_a_failure_of_the_service_is_one_of_the_span_without_the_text_of_the_exception(metrics: ScoringMetrics) -> None:
    async def failing(_: Request) -> Response:
        raise ValueError("card 4111111111111111")

    exporter = InMemorySpanExporter()
    tracing = Tracing("scoring", exporter, 0.0)
    routes = Routes(traced({("GET", "/"): failing}, tracing), metrics)
    assert asyncio.run(respond(routes, "GET", "/", BodyParts([]), CALLER)).status == 500
    tracing.close()
    [span] = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError")
    assert "4111111111111111" not in span.to_json()
