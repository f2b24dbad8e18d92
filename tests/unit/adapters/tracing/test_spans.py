"""Which requests and records are traced, and in which trace."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, get_current_span

from adapters.tracing.spans import Tracing, current_headers, headers_of
from cardwatch.records import Headers

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def headers(flags: str = "01") -> Headers:
    return [("traceparent", f"00-{TRACE}-{CALLER}-{flags}".encode())]


def tracing(share: float) -> Tracing:
    return Tracing("test", InMemorySpanExporter(), share)


@pytest.mark.parametrize("flags", ["01", "03", "ff"])
def test_the_context_of_a_sampled_caller_is_followed_whatever_the_share(flags: str) -> None:
    context = tracing(0.0).context_of(headers(flags), chance=0.5)
    assert context is not None
    caller = get_current_span(context).get_span_context()
    assert (f"{caller.trace_id:032x}", f"{caller.span_id:016x}") == (TRACE, CALLER)


@pytest.mark.parametrize("flags", ["00", "02", "fe"])
def test_what_a_caller_does_not_sample_is_not_traced_whatever_the_share(flags: str) -> None:
    assert tracing(1.0).context_of(headers(flags), chance=0.0) is None


def test_of_what_has_no_context_the_share_is_traced() -> None:
    assert tracing(0.3).context_of((), chance=0.29) == Context()
    assert tracing(0.3).context_of((), chance=0.3) is None
    assert tracing(0.0).context_of((), chance=0.0) is None
    assert tracing(1.0).context_of((), chance=0.999) == Context()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"ff-{TRACE}-{CALLER}-01".encode(),
        f"00-{TRACE}-{CALLER}-01-more".encode(),
        f"00-{TRACE.upper()}-{CALLER}-zz".encode(),
        b"\xff" * 55,
    ],
)
def test_a_context_that_cannot_be_read_counts_as_none(value: bytes) -> None:
    assert tracing(1.0).context_of([("traceparent", value)], chance=0.5) == Context()
    assert tracing(0.0).context_of([("traceparent", value)], chance=0.5) is None


@given(value=st.binary(max_size=80), state=st.binary(max_size=80), share=st.sampled_from([0.0, 1.0]))
def test_any_bytes_in_the_headers_are_taken(value: bytes, state: bytes, share: float) -> None:
    context = tracing(share).context_of([("traceparent", value), ("tracestate", state)], chance=0.5)
    assert context is None or isinstance(context, Context)


@pytest.mark.parametrize(
    "state",
    [
        b"4111111111111111",
        b"vendor=a,vendor=b",
        b"line\n2026-03-01 ERROR stream",
        b"x" * 600,
        b",".join(b"v%d=1" % i for i in range(40)),
    ],
)
def test_a_state_that_cannot_be_read_is_dropped_and_its_text_does_not_get_into_the_log(
    state: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    traced = tracing(0.0)
    context = traced.context_of([*headers(), ("tracestate", state)], chance=0.5)
    assert "tracestate" not in dict(headers_of(traced.tracer.start_span("part", context)))
    assert caplog.records == []


def test_the_state_of_a_vendor_is_passed_on() -> None:
    traced = tracing(0.0)
    context = traced.context_of([*headers(), ("tracestate", b"vendor=abc")], chance=0.5)
    span = traced.tracer.start_span("part", context)
    given_on = dict(headers_of(span))
    assert given_on["tracestate"] == b"vendor=abc"
    assert given_on["traceparent"] == f"00-{TRACE}-{span.get_span_context().span_id:016x}-01".encode()


def test_a_root_has_the_chosen_trace_and_others_have_random_ones() -> None:
    traced = tracing(1.0)
    chosen = traced.start_root("root", trace_id=7, kind=SpanKind.CONSUMER)
    assert chosen.get_span_context().trace_id == 7
    others = {traced.tracer.start_span("root", Context()).get_span_context().trace_id for _ in range(3)}
    assert len(others) == 3
    assert 7 not in others


def test_a_request_within_a_span_belongs_to_it_and_one_outside_to_none() -> None:
    traced = tracing(1.0)
    assert current_headers() == {}
    with traced.tracer.start_as_current_span("part") as span:
        assert list(current_headers().items()) == [(name, value.decode()) for name, value in headers_of(span)]
    assert current_headers() == {}
