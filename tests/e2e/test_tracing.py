"""Traces of a running system whose worker is killed: from the batch through the scoring service to the decisions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from adapters.local_stack.readiness import is_responding
from adapters.records.ranges import read_range
from adapters.runtime.addresses import HttpUrl
from cardwatch.topics import DECISIONS
from tests.e2e.system import System
from tests.integration.span_collector import SpanCollector, span_collector

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800)]

STEPS = ["fold", "score", "policy", "wait", "commit", "apply"]
KILLS = 3


@pytest.fixture
def traffic_seconds() -> int:
    return 30


def test_every_decision_continues_a_trace_with_all_steps_although_the_worker_is_killed(
    system: System, go: Callable[[System], None]
) -> None:
    begins = system.ends(DECISIONS)
    with span_collector() as collector:
        system.stack.settings = structs.replace(
            system.stack.settings, traces_url=HttpUrl(collector.url), traces_share=1.0
        )
        system.stack.supervisor.stop("scoring")
        system.stack.start("scoring")
        system.until("the scoring service is back", lambda: is_responding(f"{system.settings.scoring_url}/readyz"))
        system.stack.start("stream")
        go(system)
        for kill in range(1, KILLS + 1):
            wanted = sum(begins.values()) + kill * 800
            system.until(
                f"{wanted} decisions",
                lambda wanted=wanted: (
                    sum(system.ends(DECISIONS).values()) >= wanted or "generator" in system.stack.supervisor.finished
                ),
            )
            system.stack.supervisor.kill("stream")
            system.stack.start("stream", wait=False)
        system.stack.supervisor.wait("generator")
        system.until("everything decided", system.is_all_decided)
        system.stack.supervisor.stop("stream", "scoring")  # which sends the spans that are left

        records = list(read_range(system.settings.kafka, DECISIONS, begins, system.ends(DECISIONS)))
        contexts = [dict(record.headers)["traceparent"].decode().split("-") for record in records]
        assert len(records) > 1_000
        assert len({trace for _, trace, _, _ in contexts}) == len(records)  # one trace for each transaction
        require_spans(collector, {(trace, span) for _, trace, span, _ in contexts})


def require_spans(collector: SpanCollector, decided: set[tuple[str, str]]) -> None:
    """Require the spans of these decisions, but for those that a killed worker had not sent."""
    spans = collector.named("decide transaction")
    kept = [span for span in spans if (span.trace_id, span.span_id) in decided]
    assert len(kept) > 0.5 * len(decided)
    steps: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for span in collector.spans:
        steps.setdefault((span.trace_id, span.parent_id), []).append((span.begin_ns, span.name))
    for span in kept:
        assert not span.has_failed
        assert [name for _, name in sorted(steps[span.trace_id, span.span_id])] == STEPS
    # Attempts that failed are in the trace of the decision.
    assert {span.trace_id for span in spans} <= {trace for trace, _ in decided}
    scored = {(span.trace_id, span.span_id) for span in collector.named("score")}
    answered = [span for span in collector.named("POST /invocations") if span.service == "cardwatch-scoring"]
    assert len(answered) > KILLS
    batches = {trace for span in spans for trace, _ in span.links}  # those of a killed worker may be missing
    assert all((span.trace_id, span.parent_id) in scored for span in answered if span.trace_id in batches)
