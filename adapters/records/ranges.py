"""Ranges of a topic that has an end: read forwards, or in blocks from the newest record back to the oldest."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Final

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.topics import end_offsets
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import BrokerUnavailable
from cardwatch.records import Record

SILENT_SECONDS: Final = 30.0
"""Time without any progress after which reading is given up. A restart of a broker takes less."""
FIRST_BLOCK: Final = 4_000
"""Number of offsets per partition in the first block that is read backwards: a second's worth of a busy partition."""
LARGEST_BLOCK: Final = 256_000
"""Number of offsets per partition in the largest block. A block is passed on record by record, so it costs no memory,
but what was found in it is shown only when it was read."""
_GROWTH: Final = 4


def read_range(
    broker: KafkaConnection, topic: str, begins: Mapping[int, int], ends: Mapping[int, int]
) -> Iterator[Record]:
    """Yield the committed records from `begins` up to, but not including, `ends`, in order per partition.

    Partitions that `begins` does not name are left out. Raises `BrokerUnavailable` if nothing arrives for
    `SILENT_SECONDS`.
    """
    wanted = {partition: begin for partition, begin in begins.items() if begin < ends.get(partition, 0)}
    if not wanted:
        return
    silent_since, before = time.monotonic(), -1
    with LogReader(broker, {(topic, partition): begin for partition, begin in wanted.items()}) as reader:
        while any(reader.reached(topic, partition) < ends[partition] for partition in wanted):
            yield from (record for record in reader.poll(1.0) if record.offset < ends[record.partition])
            reached = sum(reader.reached(topic, partition) for partition in wanted)
            if reached != before:
                silent_since, before = time.monotonic(), reached
            elif time.monotonic() - silent_since > SILENT_SECONDS:
                raise BrokerUnavailable(
                    f"{topic} at {broker} could not be read to its end: nothing arrived for {SILENT_SECONDS:g} s. "
                    "Is the broker running?"
                )


def kept_part(broker: KafkaConnection, topic: str) -> tuple[dict[int, int], dict[int, int]]:
    """Return where the topic begins and ends now, by partition: retention has deleted what lies before it."""
    ends = end_offsets(broker, topic)
    with closing(OffsetReader(broker)) as offsets:
        begins = {partition: min(offsets.begin(topic, partition), end) for partition, end in ends.items()}
    return begins, ends


class BackwardReader:
    """Reads the committed records of a topic in blocks, the newest block first; a block has the order of the log.

    `ends` is where the topic ended when reading began, by partition.
    """

    def __init__(self, broker: KafkaConnection, topic: str, partitions: Iterable[int] | None = None) -> None:
        self._broker, self._topic = broker, topic
        begins, ends = kept_part(broker, topic)
        chosen = set(ends) if partitions is None else set(partitions) & set(ends)
        self._begins = {partition: begins[partition] for partition in sorted(chosen)}
        self.ends = {partition: ends[partition] for partition in sorted(chosen)}
        self._positions = dict(self.ends)
        self._size = FIRST_BLOCK

    @property
    def unread(self) -> list[int]:
        """Partitions of which older records remain."""
        return [partition for partition, begin in self._begins.items() if begin < self._positions[partition]]

    def block(self, partitions: Iterable[int]) -> Iterator[Record]:
        """Yield the next older block of these partitions; read it to its end before asking for another."""
        ends = {partition: self._positions[partition] for partition in partitions}
        begins = {partition: max(self._begins[partition], end - self._size) for partition, end in ends.items()}
        yield from read_range(self._broker, self._topic, begins, ends)
        self._positions.update(begins)
        self._size = min(self._size * _GROWTH, LARGEST_BLOCK)

    def __str__(self) -> str:
        """Return what was read, as in `decisions[0] 120 to 512, decisions[1] nothing`."""
        parts = []
        for partition, end in self.ends.items():
            begin = self._positions[partition]
            parts.append(f"{self._topic}[{partition}] " + (f"{begin} to {end}" if begin < end else "nothing"))
        return ", ".join(parts) or f"no partition of {self._topic}"
