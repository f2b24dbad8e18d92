"""A demo at one moment: everything that the screen shows."""

from __future__ import annotations

from datetime import date

from msgspec import Struct, field

from cardwatch.live.frames import EventFrame, Money
from cardwatch.progress import DayMonitored
from cli.demo.plan import DemoPlan


class DemoSnapshot(Struct, kw_only=True):
    """The demo at one moment. The recorder updates its own and gives out copies.

    `champion_version` is the registry's champion, `serving_version` the version that decides in the stream. `days` are
    the monitor's reports.
    `rate_per_second` counts decisions over the last seconds. Latencies run from the time stamp of the
    transaction's record to the arrival of its committed decision in this process, over the newest decisions.
    Once `measuring`, transactions come at the plan's fixed rate instead of a day at a time. `fraud` is what
    labels tell of the decided transactions.
    """

    plan: DemoPlan
    stage: str = "starting"
    elapsed_seconds: float = 0.0
    day: date | None = None
    transactions: int = 0
    decisions: int = 0
    degraded: int = 0
    rate_per_second: float = 0.0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    measuring: bool = False
    fraud: Money = field(default_factory=Money)
    champion_version: str | None = None
    serving_version: str | None = None
    days: list[DayMonitored] = []
    events: list[EventFrame] = []
