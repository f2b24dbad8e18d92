"""The port between worker and tracing, and its implementation for a batch that is not traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from cardwatch.events import DeadLetter, Decision
from cardwatch.records import Headers, Record


class BatchTrace(Protocol):
    """The trace of one batch: `adapters.tracing.batches.BatchSpans`, or `Untraced`."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Make the block a step of the batch."""
        ...

    def discarded_on_error(self) -> AbstractContextManager[None]:
        """End the trace as failed if the block raises."""
        ...

    def headers(self, partition: int, offset: int, given: Headers) -> Headers:
        """Return the headers of what is written about a record, whose own headers are `given`."""
        ...

    def end(self, decisions: Sequence[Decision], letters: Sequence[DeadLetter]) -> None:
        """End the trace: these decisions and dead letters are committed."""


class Tracer(Protocol):
    """Starts traces of batches: `adapters.tracing.batches.BatchTracer`."""

    def begin(self, polled: Mapping[int, Sequence[Record]]) -> BatchTrace | None:
        """Start the trace of the polled records; None if none of them is traced."""

    def current_headers(self) -> dict[str, str]:
        """Return the headers that make a request part of the current step; none outside of a step."""
        ...


class Untraced:
    """A batch without a trace. What is written about a record carries the trace context of its producer on."""

    def step(self, _name: str) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def discarded_on_error(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def headers(self, _partition: int, _offset: int, given: Headers) -> Headers:
        """Return the producer's headers."""
        return given

    def end(self, decisions: Sequence[Decision], letters: Sequence[DeadLetter]) -> None:
        """Do nothing."""


UNTRACED: Final = Untraced()
