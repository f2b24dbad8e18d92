"""The spans of batches and of traced transactions, also of those that are decided again after a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from msgspec import structs
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode

from adapters.feature_store.lmdb import LmdbStore
from adapters.tracing.batches import BatchTracer
from adapters.tracing.spans import Tracing
from cardwatch.errors import StaleWriter, StoreUnavailable, Superseded
from cardwatch.ports import FeatureStore, Scores
from cardwatch.records import Headers, Outgoing
from cardwatch.topics import DEAD_LETTERS, DECISIONS
from tests.unit.services.stream.memory_log import HalfOfAmount, MemoryLog, log_of, payment, worker

SAMPLED, UNSAMPLED = "01", "00"
STEPS = ["fold", "score", "policy", "wait", "commit", "apply"]


def producer(number: int, flags: str = SAMPLED) -> Headers:
    """The headers of the producer of a record: its trace and span have the number of the record."""
    return [("traceparent", f"00-{number + 1:032x}-{number + 1:016x}-{flags}".encode())]


class Spans:
    """Finished spans, by name, trace and parent."""

    def __init__(self, share: float = 0.0) -> None:
        self._exporter = InMemorySpanExporter()
        self._tracing = Tracing("stream", self._exporter, share)
        self.tracer = BatchTracer(self._tracing)

    def finished(self, name: str) -> list[ReadableSpan]:
        self._tracing._provider.force_flush()
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def of_transaction(self, number: int) -> list[ReadableSpan]:
        return [span for span in self.finished("decide transaction") if context(span).trace_id == number + 1]

    def children(self, parent: ReadableSpan) -> list[ReadableSpan]:
        self._tracing._provider.force_flush()
        found = [
            span
            for span in self._exporter.get_finished_spans()
            if span.parent is not None
            and (span.parent.trace_id, span.parent.span_id) == (context(parent).trace_id, context(parent).span_id)
        ]
        return sorted(found, key=lambda span: span.start_time or 0)


def context(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def traced_log(flags: Mapping[int, str], count: int = 4) -> MemoryLog:
    """A log in which some records have headers with these flags."""
    log = log_of([payment(number) for number in range(count)])
    for number, each in flags.items():
        log.records[number] = structs.replace(log.records[number], headers=producer(number, each))
    return log


def decide(folder: Path, store: FeatureStore, log: MemoryLog, spans: Spans, scorer: HalfOfAmount | None = None) -> None:
    stream = worker(folder, store, scorer, tracer=spans.tracer)
    positions = stream.assign_partitions(log, [0])
    stream.process_batch(log, {0: log.records[positions[0] :]})
    stream.settle()


def trace_of(headers: Headers) -> tuple[int, int]:
    """Trace and span in the headers of a record."""
    [(name, value)] = headers
    assert name == "traceparent"
    _, trace, span, flags = value.decode().split("-")
    assert flags == SAMPLED
    return int(trace, 16), int(span, 16)


def test_a_traced_transaction_has_all_steps_in_its_producers_trace_and_its_decision_continues_it(
    tmp_path: Path,
) -> None:
    log, spans = traced_log({2: SAMPLED}), Spans()
    with LmdbStore(tmp_path / "store") as store:
        decide(tmp_path, store, log, spans)
    [span] = spans.of_transaction(2)
    assert span.parent is not None
    assert span.parent.span_id == 3
    steps = spans.children(span)
    assert [step.name for step in steps] == STEPS
    assert all(one.end_time <= other.start_time for one, other in pairwise(steps))  # type: ignore[operator]
    assert span.attributes is not None
    assert span.attributes["cardwatch.transaction_id"] == "t-2"
    assert span.attributes["cardwatch.action"] == "approve"
    assert span.attributes["messaging.kafka.offset"] == 2
    assert span.status.status_code is StatusCode.OK
    headers = {record.value: record.headers for record in log.written}
    [own] = [found for found in headers.values() if found]
    assert trace_of(own) == (context(span).trace_id, context(span).span_id)


def test_a_batch_and_its_traced_transactions_are_linked_to_each_other(tmp_path: Path) -> None:
    log, spans = traced_log({0: SAMPLED, 1: UNSAMPLED, 3: SAMPLED}), Spans()
    with LmdbStore(tmp_path / "store") as store:
        decide(tmp_path, store, log, spans)
    [batch] = spans.finished("process transactions")
    assert batch.attributes is not None
    assert batch.attributes["messaging.batch.message_count"] == 4
    assert [step.name for step in spans.children(batch)] == STEPS
    transactions = [*spans.of_transaction(0), *spans.of_transaction(3)]
    assert [link.context.span_id for link in batch.links] == [context(span).span_id for span in transactions]
    for span in transactions:
        assert [link.context.span_id for link in span.links] == [context(batch).span_id]


def test_what_is_not_sampled_makes_no_span_and_its_context_is_passed_on_unchanged(tmp_path: Path) -> None:
    log, spans = traced_log({1: UNSAMPLED}), Spans()
    with LmdbStore(tmp_path / "store") as store:
        decide(tmp_path, store, log, spans)
    assert spans.finished("process transactions") == []
    assert [record.headers for record in log.written] == [(), producer(1, UNSAMPLED), (), ()]


def test_without_tracing_the_context_of_a_producer_is_passed_on_too(tmp_path: Path) -> None:
    log = traced_log({1: SAMPLED})
    with LmdbStore(tmp_path / "store") as store:
        stream = worker(tmp_path, store)
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records})
        stream.settle()
    assert [record.headers for record in log.written] == [(), producer(1), (), ()]


class Refusing(LmdbStore):
    """A store that refuses the first write, or cannot be read at first."""

    refuses = unreadable = False

    def apply(self, *arguments: object, **named: object) -> None:
        if self.refuses:
            self.refuses = False
            raise StaleWriter("another worker has written since")
        super().apply(*arguments, **named)  # type: ignore[arg-type]

    def load(self, card_ids: Sequence[str]) -> object:  # type: ignore[override]
        if self.unreadable:
            self.unreadable = False
            raise StoreUnavailable("the store is away")
        return super().load(card_ids)


@pytest.mark.parametrize(
    ("failure", "expected_steps", "failed_step"),
    [
        ("store", ["fold"], "fold"),
        ("fenced", ["fold", "score", "policy", "wait", "commit"], "commit"),
    ],
)
def test_a_transaction_that_is_decided_again_has_a_span_for_each_attempt_in_one_trace(
    tmp_path: Path, failure: str, expected_steps: list[str], failed_step: str
) -> None:
    log, spans = traced_log({1: SAMPLED}), Spans()
    with Refusing(tmp_path / "store") as store:
        store.unreadable = failure == "store"
        log.dies = "fenced" if failure == "fenced" else ""
        with pytest.raises((Superseded, StoreUnavailable)):
            decide(tmp_path, store, log, spans)
        assert log.written == []
        decide(tmp_path, store, log, spans)
    failed, succeeded = spans.of_transaction(1)
    assert [step.name for step in spans.children(failed)] == expected_steps
    assert [step.name for step in spans.children(failed) if step.status.status_code is StatusCode.ERROR] == [
        failed_step
    ]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes is not None
    assert "cardwatch.action" not in failed.attributes
    assert [step.name for step in spans.children(succeeded)] == STEPS
    [headers] = [record.headers for record in log.written if record.headers]
    assert trace_of(headers) == (context(succeeded).trace_id, context(succeeded).span_id)


def test_a_batch_that_is_committed_but_not_applied_is_decided_and_its_last_step_has_failed(tmp_path: Path) -> None:
    log, spans = traced_log({1: SAMPLED}), Spans()
    with Refusing(tmp_path / "store") as store:
        store.refuses = True
        with pytest.raises(Superseded):
            decide(tmp_path, store, log, spans)
    [span] = spans.of_transaction(1)
    assert span.status.status_code is StatusCode.OK
    assert span.attributes is not None
    assert span.attributes["cardwatch.action"] == "approve"
    assert [step.name for step in spans.children(span) if step.status.status_code is StatusCode.ERROR] == ["apply"]


def test_the_batch_after_a_failed_one_is_told_as_failed_too(tmp_path: Path) -> None:
    log, spans, scorer, scored_both = traced_log({3: SAMPLED}), Spans(), HalfOfAmount(), Event()
    score = scorer.score

    def note(*arguments: Any, **named: Any) -> Scores:
        scores = score(*arguments, **named)
        if len(scorer.reasons_above) == len(log.records):
            scored_both.set()
        return scores

    def refuse(_outgoing: Sequence[Outgoing], _positions: Mapping[int, int]) -> None:
        assert scored_both.wait(30.0)
        raise Superseded("fenced")

    scorer.score, log.commit = note, refuse  # type: ignore[method-assign]
    with LmdbStore(tmp_path / "store") as store:
        stream = worker(tmp_path, store, scorer, tracer=spans.tracer)
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records[:2]})
        with pytest.raises(Superseded):
            stream.process_batch(log, {0: log.records[2:]})
    [span] = spans.of_transaction(3)
    assert span.status.status_code is StatusCode.ERROR


def test_degraded_decisions_repeats_and_dead_letters_are_told_apart(tmp_path: Path) -> None:
    log, spans, scorer = traced_log({0: SAMPLED, 1: SAMPLED, 2: SAMPLED}, count=3), Spans(), HalfOfAmount()
    scorer.available = False
    log.records[1] = structs.replace(log.records[1], value=log.records[0].value, key=log.records[0].key)
    log.records[2] = structs.replace(log.records[2], value=b"nonsense")
    with LmdbStore(tmp_path / "store") as store:
        decide(tmp_path, store, log, spans, scorer)
    attributes = [dict(spans.of_transaction(number)[0].attributes or {}) for number in range(3)]
    assert attributes[0]["cardwatch.degraded"] is True
    assert not {"cardwatch.action", "cardwatch.dead_letter"} & attributes[1].keys()
    assert attributes[2]["cardwatch.dead_letter"] is True
    traces = {record.topic: trace_of(record.headers)[0] for record in log.written}
    assert traces == {DECISIONS: 1, DEAD_LETTERS: 3}


def test_without_a_producers_context_the_share_is_traced_and_the_same_ones_after_a_restart(tmp_path: Path) -> None:
    log, spans = traced_log({}, count=1_000), Spans(share=0.1)
    with LmdbStore(tmp_path / "store") as store:
        log.dies = "fenced"
        with pytest.raises(Superseded):
            decide(tmp_path, store, log, spans)
        decide(tmp_path, store, log, spans)
    found = spans.finished("decide transaction")
    traces = [context(span).trace_id for span in found if span.status.status_code is StatusCode.OK]
    assert 90 < len(traces) < 110
    assert len(set(traces)) == len(traces)
    assert sorted(traces) == sorted(
        context(span).trace_id for span in found if span.status.status_code is StatusCode.ERROR
    )
    assert all(span.parent is None for span in found)
