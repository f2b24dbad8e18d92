"""Spans of the batches of a stream worker.

A batch is a trace of its own: a span with its steps and the request to the scoring service. Each traced transaction has
a span in the trace of its producer, with the same steps; that span and the batch's are linked to each other. A record
that is decided again, after a failure or a restart, gets further spans in the same trace.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context

from adapters.tracing.spans import Tracing, current_headers, headers_of, is_unsampled
from cardwatch.events import DeadLetter, Decision
from cardwatch.records import Headers, Record
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS

_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio. The multiples of successive offsets, modulo 2^64, are spread evenly."""
_MASK: Final = (1 << 64) - 1


class _Step(NamedTuple):
    """A step of a batch that is over; times in ns since 1970."""

    name: str
    begin_ns: int
    end_ns: int
    status: Status


class BatchSpans:
    """The spans of one batch, of which some transactions are traced. `spans`: those by partition and offset."""

    def __init__(self, tracing: Tracing, batch: Span, spans: Mapping[tuple[int, int], Span]) -> None:
        self._tracer, self._batch, self._spans = tracing.tracer, batch, spans
        self._context = set_span_in_context(batch)
        self._steps: list[_Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Make the block a step. Requests in it belong to its span, and an exception is recorded."""
        begin_ns, status = time.time_ns(), Status(StatusCode.UNSET)
        with self._tracer.start_as_current_span(name, self._context, start_time=begin_ns):
            try:
                yield
            except BaseException as error:
                status = _failed(error)
                raise
            finally:
                self._steps.append(_Step(name, begin_ns, time.time_ns(), status))

    @contextmanager
    def discarded_on_error(self) -> Iterator[None]:
        """End all spans as failed if the block raises: nothing of the batch was written."""
        try:
            yield
        except BaseException as error:
            self._end(_failed(error))
            raise

    def headers(self, partition: int, offset: int, given: Headers) -> Headers:
        """Return the headers of what is written about a record, whose own headers are `given`."""
        span = self._spans.get((partition, offset))
        return given if span is None else headers_of(span)

    def end(self, decisions: Sequence[Decision], letters: Sequence[DeadLetter]) -> None:
        """End all spans: these decisions and dead letters are committed, and other records are repeats."""
        for decision in decisions:
            if (span := self._spans.get((decision.partition, decision.offset))) is not None:
                span.set_attributes(
                    {
                        "cardwatch.transaction_id": decision.transaction.transaction_id,
                        "cardwatch.action": decision.action.value,
                        "cardwatch.degraded": decision.degraded,
                        "cardwatch.model_version": decision.model_version or "",
                    }
                )
        for letter in letters:
            if (span := self._spans.get((letter.partition, letter.offset))) is not None:
                span.set_attribute("cardwatch.dead_letter", True)
        self._end(Status(StatusCode.OK))

    def _end(self, status: Status) -> None:
        for span in self._spans.values():
            context = set_span_in_context(span)
            for step in self._steps:
                part = self._tracer.start_span(step.name, context, start_time=step.begin_ns)
                part.set_status(step.status)
                part.end(step.end_ns)
            span.set_status(status)
            span.end()
        self._batch.set_status(status)
        self._batch.end()


class BatchTracer:
    """Chooses the transactions that are traced, and starts their spans. It belongs to one thread."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def begin(self, polled: Mapping[int, Sequence[Record]]) -> BatchSpans | None:
        """Start the spans of the polled records; None if none of them is traced."""
        contexts = [
            (record, context)
            for record in chain.from_iterable(polled.values())
            if not ((headers := record.headers) and is_unsampled(headers))
            and (context := self._tracing.context_of(headers, _chance(record))) is not None
        ]
        if not contexts:
            return None
        spans = {(record.partition, record.offset): self._start(record, context) for record, context in contexts}
        batch = self._tracing.tracer.start_span(
            f"process {TRANSACTIONS}",
            Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(span.get_span_context()) for span in spans.values()],
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": TRANSACTIONS,
                "messaging.consumer.group.name": STREAM_GROUP,
                "messaging.batch.message_count": sum(map(len, polled.values())),
            },
        )
        for span in spans.values():
            span.add_link(batch.get_span_context())
        return BatchSpans(self._tracing, batch, spans)

    def current_headers(self) -> dict[str, str]:
        """Return the headers that make a request part of the current step; none outside of a step."""
        return current_headers()

    def _start(self, record: Record, context: Context) -> Span:
        span = (
            self._tracing.tracer.start_span("decide transaction", context, kind=SpanKind.CONSUMER)
            if context
            else self._tracing.start_root("decide transaction", trace_id=_trace_id(record), kind=SpanKind.CONSUMER)
        )
        span.set_attributes(
            {
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": record.topic,
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
            }
        )
        return span


def _failed(error: BaseException) -> Status:
    return Status(StatusCode.ERROR, f"{type(error).__name__}: {error}")


def _chance(record: Record) -> float:
    """Return a number in 0..1 that is the same whenever the record is read, and evenly spread over records."""
    return ((record.offset * _GOLDEN + record.partition) & _MASK) / (_MASK + 1)


def _trace_id(record: Record) -> int:
    """Return a trace id that is the same whenever the record is read."""
    place = f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp_ms}"
    return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=16).digest()) or 1
