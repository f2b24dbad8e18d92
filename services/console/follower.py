"""Follows the topics under `read_committed`, and asks for positions."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Final, Self

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.topics import end_offsets
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.live.frames import Lane
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, LABELS, PROGRESS, STREAM_GROUP, TRANSACTIONS

PAST_DECISIONS: Final = 500
"""Number of past decisions per partition that a console that starts reads again."""


class TopicFollower:
    """Reads decisions, labels, dead letters and progress. It belongs to no group and commits nothing.

    Decisions begin a little before their end and progress at its beginning, so that a console that is started later
    shows the same timeline. Entered again, as after the loss of the broker, it goes on where it was: nothing is read
    twice, and nothing is left out.
    """

    def __init__(self, broker: KafkaConnection) -> None:
        self._broker = broker
        self._closing = ExitStack()
        self._next: dict[tuple[str, int], int] = {}
        self._past_ends: dict[tuple[str, int], int] = {}

    def __enter__(self) -> Self:
        start = {(PROGRESS, 0): 0}
        for topic, kept in ((DECISIONS, PAST_DECISIONS), (LABELS, 0), (DEAD_LETTERS, 0)):
            ends = {(topic, partition): end for partition, end in end_offsets(self._broker, topic).items()}
            start |= {place: max(end - kept, 0) for place, end in ends.items()}
            self._past_ends |= {place: end for place, end in ends.items() if kept and place not in self._next}
        with ExitStack() as opened:
            self._committed = opened.enter_context(closing(OffsetReader(self._broker, STREAM_GROUP)))
            self._next = {place: self._kept(*place, position) for place, position in (start | self._next).items()}
            self._reader = opened.enter_context(closing(LogReader(self._broker, self._next)))
            self._closing = opened.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._closing.close()

    def poll(self, timeout_seconds: float) -> list[Record]:
        """Return new records, none if there are none before the timeout."""
        records = self._reader.poll(timeout_seconds)
        self._next |= {(record.topic, record.partition): record.offset + 1 for record in records}
        return records

    def _kept(self, topic: str, partition: int, position: int) -> int:
        """Return the position, or the first one after it that retention has left: earlier ones cannot be read."""
        return max(position, self._committed.begin(topic, partition))

    def reads_past(self) -> bool:
        """Whether what `poll` returns next was decided before the console was started."""
        self._past_ends = {place: end for place, end in self._past_ends.items() if self._reader.reached(*place) < end}
        return bool(self._past_ends)

    def lanes(self, unapplied: Mapping[int, int], refolded: Mapping[int, int]) -> list[Lane]:
        """Return the positions in each partition. The arguments are what the workers measure, per partition."""
        ends = end_offsets(self._broker, TRANSACTIONS)
        committed = self._committed.committed(TRANSACTIONS, sorted(ends))
        return [
            Lane(
                partition=partition,
                log_end=end,
                committed=committed.get(partition, 0),
                applied=committed.get(partition, 0) - unapplied[partition] if partition in unapplied else None,
                refolded=refolded.get(partition, 0) if partition in unapplied else None,
            )
            for partition, end in sorted(ends.items())
        ]
