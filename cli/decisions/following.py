"""The newest decisions of the topic, and new ones as they are committed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import click

from adapters.kafka.consumer import LogReader
from adapters.kafka.topics import unreachable_reason
from adapters.records.decision_search import decisions_in
from adapters.records.ranges import BackwardReader, kept_part, read_range
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.events import Action, Decision
from cardwatch.live.event_time import NEWEST, event_time
from cardwatch.records import Record
from cardwatch.topics import DECISIONS

POLL_SECONDS: Final = 0.5
"""Maximum time to wait for a decision before Ctrl-C and the broker are looked after."""
SILENT_SECONDS: Final = 5.0
"""Time without a decision after which the broker is asked whether it is there, and again after the same time."""


class DecisionFilter(NamedTuple):
    """Which decisions are wanted: with one of `actions`, if there is any, of `card`, unless empty, by the rules."""

    actions: frozenset[Action]
    card: str
    degraded: bool

    def admits(self, decision: Decision) -> bool:
        """Return whether the decision is wanted."""
        return (
            (not self.actions or decision.action in self.actions)
            and (not self.card or decision.transaction.card_id == self.card)
            and (decision.degraded or not self.degraded)
        )


class PastDecisions(NamedTuple):
    """Decisions up to `ends`, the offsets by partition at which new ones begin."""

    decisions: Iterator[Decision]
    ends: Mapping[int, int]


class _Stored(NamedTuple):
    """A decision with its order: the time at which the broker has written it, partition and offset."""

    written_ms: int
    partition: int
    offset: int
    decision: Decision


def newest_decisions(broker: KafkaConnection, wanted: DecisionFilter, last: int | None) -> PastDecisions:
    """Return the newest `last` decisions that are wanted, oldest first, or all that the topic holds if it is None."""
    if last is None:
        begins, ends = kept_part(broker, DECISIONS)
        stored = _wanted(read_range(broker, DECISIONS, begins, ends), wanted)
        return PastDecisions((each.decision for each in stored), ends)
    reader = BackwardReader(broker, DECISIONS)
    found: dict[int, list[_Stored]] = {partition: [] for partition in reader.ends}
    # The newest `last` of all partitions are among the newest `last` of each.
    while partitions := [partition for partition in reader.unread if len(found[partition]) < last]:
        block: dict[int, deque[_Stored]] = {partition: deque(maxlen=last) for partition in partitions}
        for each in _wanted(reader.block(partitions), wanted):
            block[each.partition].append(each)
        for partition, older in block.items():
            found[partition] = [*older, *found[partition]]
    newest = sorted((each for decisions in found.values() for each in decisions), key=lambda each: each[:3])
    return PastDecisions((each.decision for each in newest[len(newest) - min(last, len(newest)) :]), reader.ends)


def newest_event_time(broker: KafkaConnection) -> datetime | None:
    """Return the event time that the newest decisions are about, None if there is no decision."""
    everything = DecisionFilter(frozenset(), "", degraded=False)
    past = newest_decisions(broker, everything, NEWEST)
    return event_time([decision.transaction.occurred_at for decision in past.decisions])


def follow(broker: KafkaConnection, begins: Mapping[int, int], wanted: DecisionFilter) -> Iterator[Decision]:
    """Yield wanted decisions from `begins` on, without an end. Says on stderr when the broker is away, and is back."""
    silent_since, is_away = time.monotonic(), False
    with LogReader(broker, {(DECISIONS, partition): begin for partition, begin in begins.items()}) as reader:
        while True:
            records = reader.poll(POLL_SECONDS)
            yield from (each.decision for each in _wanted(iter(records), wanted))
            if records:
                silent_since, is_away = time.monotonic(), False
            elif time.monotonic() - silent_since > SILENT_SECONDS:
                reason = unreachable_reason(broker)
                if reason is not None and not is_away:
                    click.echo(f"no broker answers at {broker} ({reason}); waiting for it", err=True)
                elif reason is None and is_away:
                    click.echo(f"the broker at {broker} answers again", err=True)
                silent_since, is_away = time.monotonic(), reason is not None


def _wanted(records: Iterator[Record], wanted: DecisionFilter) -> Iterator[_Stored]:
    for record, decision in decisions_in(records):
        if wanted.admits(decision):
            yield _Stored(record.timestamp_ms, record.partition, record.offset, decision)
