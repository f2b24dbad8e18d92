"""Simulated days sent through a deployed system, with counts of the decisions."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from contextlib import closing
from math import inf
from typing import Final

from msgspec import Struct

from adapters.aws.kinesis import KinesisReader, KinesisWriter
from adapters.aws.s3 import Bucket
from adapters.runtime.retry import poll
from cardwatch.errors import CardwatchError
from cardwatch.events import Decision, decode
from cardwatch.simulation.simulation import Simulation
from infra.aws.acceptance.traffic import Traffic

POLL_SECONDS: Final = 0.25
TIMEOUT_SECONDS: Final = 120.0
"""Longest time without a new decision."""


class DayOutcome(Struct, frozen=True, kw_only=True):
    """Counts of one day. `decided` are transactions with a decision, `repeats` are further deliveries of decisions."""

    sent: int
    decided: int
    repeats: int
    degraded: int
    declined: int
    versions: dict[str, int]
    degraded_reasons: dict[str, int]
    latencies_ms: list[float]

    def __str__(self) -> str:
        """Return a summary in one line."""
        degraded = f"{self.degraded:,} degraded" + "".join(f", {reason}" for reason in self.degraded_reasons)
        versions = ", ".join(f"{count:,} by version {version}" for version, count in sorted(self.versions.items()))
        percentiles = statistics.quantiles(self.latencies_ms, n=100, method="inclusive")
        return (
            f"{self.sent:,} transactions, {self.decided:,} decided ({versions}; {degraded}, "
            f"{self.declined:,} declined), {self.repeats:,} delivered twice; from the stream to the decision "
            f"{percentiles[49]:,.0f} ms (p50), {percentiles[98]:,.0f} ms (p99)"
        )


class DayRunner:
    """Sends simulated days into the stream of transactions and waits for their decisions."""

    def __init__(self, world: Simulation, *, transactions: str, decisions: str, bucket: str) -> None:
        self._world, self._bucket = world, Bucket(bucket)
        self._transactions, self._decisions = transactions, decisions

    def run(self, number: int, *, rate_per_second: float) -> DayOutcome:
        """Send day `number`; raises `CardwatchError` if decisions are missing and no more arrive."""
        with closing(KinesisReader(self._decisions)) as reader, closing(KinesisWriter(self._transactions)) as writer:
            traffic = Traffic(self._world, writer.write, self._bucket.put)
            sending = threading.Thread(
                target=traffic.send_day, args=[number], kwargs={"rate_per_second": rate_per_second}, daemon=True
            )
            sending.start()
            decisions: list[Decision] = []
            decided: set[str] = set()
            last_arrival = time.monotonic()

            def receive() -> bool:
                nonlocal last_arrival
                new = [decode(value, Decision) for value in reader.poll()]
                decisions.extend(new)
                decided.update(decision.transaction.transaction_id for decision in new)
                if new:
                    last_arrival = time.monotonic()
                if time.monotonic() - last_arrival > TIMEOUT_SECONDS:
                    raise CardwatchError(
                        f"{traffic.sent.transactions - len(decided):,} of {traffic.sent.transactions:,} transactions "
                        f"have no decision, and none has arrived for {TIMEOUT_SECONDS:g} s"
                    )
                return not sending.is_alive() and traffic.sent.days == 1 and len(decided) >= traffic.sent.transactions

            poll(receive, timeout_seconds=inf, poll_seconds=POLL_SECONDS)
            return _count(traffic.sent.transactions, decisions)


def _count(sent: int, decisions: list[Decision]) -> DayOutcome:
    first = {decision.transaction.transaction_id: decision for decision in reversed(decisions)}
    return DayOutcome(
        sent=sent,
        decided=len(first),
        repeats=len(decisions) - len(first),
        degraded=sum(decision.degraded for decision in first.values()),
        declined=sum(decision.action.value == "decline" for decision in first.values()),
        versions=dict(Counter(decision.model_version or "none" for decision in first.values())),
        degraded_reasons=dict(
            Counter(decision.degraded_reason for decision in first.values() if decision.degraded_reason)
        ),
        latencies_ms=[decision.latency_ms for decision in first.values()],
    )
