"""Which headers of a record are read: one trace context, of a limited length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cardwatch.records import MAX_TRACE_HEADER_BYTES, TRACE_HEADERS, trace_headers

CONTEXT = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([*TRACE_HEADERS, "other", ""]),
        st.sampled_from([None, b"", b"first", b"second", b"x" * MAX_TRACE_HEADER_BYTES, b"x" * 2_000]),
    )
)


def test_a_context_is_read_and_other_headers_are_left_out() -> None:
    assert trace_headers([CONTEXT]) == [CONTEXT]
    assert trace_headers([("a", b"1"), CONTEXT, ("", b""), ("tracestate", b"v=1")]) == [CONTEXT, ("tracestate", b"v=1")]


def test_a_header_without_a_value_or_longer_than_the_limit_counts_as_absent() -> None:
    at_limit = ("tracestate", b"x" * MAX_TRACE_HEADER_BYTES)
    assert trace_headers([CONTEXT, at_limit]) == [CONTEXT, at_limit]
    for value in (None, b"x" * (MAX_TRACE_HEADER_BYTES + 1)):
        assert trace_headers([("traceparent", value)]) == []  # type: ignore[list-item]
        assert trace_headers([CONTEXT, ("tracestate", value)]) == [CONTEXT]  # type: ignore[list-item]


def test_of_headers_with_the_same_name_the_last_one_is_read() -> None:
    newest = ("traceparent", CONTEXT[1].replace(b"-b7ad", b"-0000"))
    assert trace_headers([CONTEXT, newest] * 1_000) == [newest]


@given(headers=HEADERS)
def test_what_is_carried_on_is_limited_whatever_a_producer_writes(headers: list[tuple[str, bytes]]) -> None:
    found = trace_headers(headers)
    assert len({name for name, _ in found}) == len(found)
    assert sum(len(name) + len(value) for name, value in found) <= 2 * MAX_TRACE_HEADER_BYTES + 21
