"""Days lived through on AWS: transactions in, decisions out, counted."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from contextlib import closing
from typing import Final

from msgspec import Struct

from adapters.aws.kinesis import KinesisReader, KinesisWriter
from adapters.aws.s3 import Bucket
from cardwatch.errors import CardwatchError
from cardwatch.events import Decision, decode
from cardwatch.simulation.simulation import Simulation
from infra.aws.acceptance.traffic import Traffic

POLL_SECONDS: Final = 0.25
TIMEOUT_SECONDS: Final = 120.0


class DayOutcome(Struct, frozen=True, kw_only=True):
    """What a day has brought: `decided` are transactions with a decision, `again` decisions that came once more."""

    sent: int
    decided: int
    again: int
    degraded: int
    declined: int
    versions: dict[str, int]
    excuses: dict[str, int]
    latencies_ms: list[float]

    def __str__(self) -> str:
        """For people."""
        degraded = f"{self.degraded:,} degraded" + "".join(f", {why}" for why in self.excuses)
        versions = ", ".join(f"{count:,} by version {version}" for version, count in sorted(self.versions.items()))
        cuts = statistics.quantiles(self.latencies_ms, n=100, method="inclusive")
        return (
            f"{self.sent:,} transactions, {self.decided:,} decided ({versions}; {degraded}, "
            f"{self.declined:,} declined), {self.again:,} delivered twice; from the stream to the decision "
            f"{cuts[49]:,.0f} ms (p50), {cuts[98]:,.0f} ms (p99)"
        )


class DayRunner:
    """Sends days of a world into the transactions' stream and waits for all of their decisions."""

    def __init__(self, world: Simulation, *, transactions: str, decisions: str, bucket: str) -> None:
        self._world, self._bucket = world, Bucket(bucket)
        self._transactions, self._decisions = transactions, decisions

    def live(self, number: int, *, rate_per_second: float) -> DayOutcome:
        """DayRunner through day `number`; raises `CardwatchError` if a transaction has no decision in the end."""
        with (
            closing(KinesisReader(self._decisions)) as reader,
            closing(KinesisWriter(self._transactions)) as writer,
        ):
            traffic = Traffic(self._world, writer, self._bucket.put)
            sending = threading.Thread(
                target=traffic.send_day, args=[number], kwargs={"rate_per_second": rate_per_second}, daemon=True
            )
            sending.start()
            decisions: list[Decision] = []
            seen: set[str] = set()
            quiet_since = time.monotonic()
            while sending.is_alive() or not traffic.sent.days or len(seen) < traffic.sent.transactions:
                came = [decode(value, Decision) for value in reader.poll()]
                decisions += came
                seen |= {decision.transaction.transaction_id for decision in came}
                if came:
                    quiet_since = time.monotonic()
                if time.monotonic() - quiet_since > TIMEOUT_SECONDS:
                    raise CardwatchError(
                        f"{traffic.sent.transactions - len(seen):,} of {traffic.sent.transactions:,} transactions have "
                        f"no decision, and none has come for {TIMEOUT_SECONDS:g} s"
                    )
                time.sleep(POLL_SECONDS)
            return _counted(traffic.sent.transactions, decisions)


def _counted(sent: int, decisions: list[Decision]) -> DayOutcome:
    first = {decision.transaction.transaction_id: decision for decision in reversed(decisions)}
    return DayOutcome(
        sent=sent,
        decided=len(first),
        again=len(decisions) - len(first),
        degraded=sum(decision.degraded for decision in first.values()),
        declined=sum(decision.action.value == "decline" for decision in first.values()),
        versions=dict(Counter(decision.model_version or "none" for decision in first.values())),
        excuses=dict(Counter(decision.degraded_reason for decision in first.values() if decision.degraded_reason)),
        latencies_ms=[decision.latency_ms for decision in first.values()],
    )
