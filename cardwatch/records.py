"""Records and segments of a log, independent of the system that stores it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

TRACEPARENT: Final = "traceparent"
TRACE_HEADERS: Final = (TRACEPARENT, "tracestate")
"""Names of the headers that carry a trace context, see https://www.w3.org/TR/trace-context/."""
MAX_TRACE_HEADER_BYTES: Final = 1_024
"""Maximum length of such a header that is read; longer ones count as absent. The specification has 55 bytes for
`traceparent` and asks for 512 bytes of `tracestate`. Decisions carry these headers on, so without a limit a transaction
could have one that fits into the log while its decision does not."""
Headers: TypeAlias = Sequence[tuple[str, bytes]]
"""Headers of a record, in their order. Not empty, it is a list."""


class Record(Struct, frozen=True, gc=False):
    """One record of a topic. `timestamp_ms` is the wall-clock time at which its producer sent it, in ms.

    `headers` are those of `TRACE_HEADERS`; others are not read.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Outgoing(Struct, frozen=True, gc=False):
    """A record to be written to a given partition."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: Headers = ()


def trace_headers(headers: Headers) -> Headers:
    """Return those of a record's headers that carry a trace context: at most one of each name, the last one.

    The last one is that of the newest sender, where records are copied with their headers.
    """
    if len(headers) == 1 and headers[0][0] == TRACEPARENT and _is_read(headers[0][1]):
        return headers  # most records
    found = {name: value for name, value in headers if name in TRACE_HEADERS}
    return [(name, value) for name, value in found.items() if _is_read(value)]


def _is_read(value: bytes | None) -> bool:
    return value is not None and len(value) <= MAX_TRACE_HEADER_BYTES


class LogSegment(NamedTuple):
    """n transactions of one partition in log order. `position` is the offset after the last of them.

    `cards`: the distinct cards. `card_index`: int64 [n], the index of each transaction's card in `cards`. `offsets`:
    int64 [n]. `rows`: dtype `cardwatch.features.columns.COLUMNS` [n].
    """

    position: int
    cards: list[str]
    card_index: NDArray[np.int64]
    offsets: NDArray[np.int64]
    rows: NDArray[np.void]
