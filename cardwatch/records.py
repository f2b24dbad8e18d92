"""Records of a log, independent of the system that stores it."""

from __future__ import annotations

from typing import NamedTuple


class Record(NamedTuple):
    """One record of a topic. `timestamp_ms` is the wall-clock time at which its producer sent it, in ms."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Outgoing(NamedTuple):
    """A record to be written to a given partition."""

    topic: str
    partition: int
    key: bytes
    value: bytes
