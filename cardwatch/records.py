"""One record of a log, whoever keeps the log."""

from __future__ import annotations

from typing import NamedTuple


class Record(NamedTuple):
    """One record of a topic. `timestamp_ms` is when its producer sent it, on the wall clock."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
