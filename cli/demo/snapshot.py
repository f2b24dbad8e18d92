"""A demo at one moment: everything that the screen shows."""

from __future__ import annotations

from datetime import date
from enum import Enum

from msgspec import Struct, field

from cardwatch.progress import DayMonitored
from cli.demo.plan import DemoPlan


class EventKind(Enum):
    """Kinds of events on the timeline."""

    STACK = "stack"
    HISTORY = "history"
    CHAMPION = "champion"
    LIVE = "live"
    CHANGE = "change"
    DRIFT = "drift"
    RETRAINING = "retraining"
    VERDICT = "verdict"
    SWAP = "swap"
    MEASURE = "measure"


class Event(Struct, frozen=True, kw_only=True):
    """A line of the timeline. `day` is simulated time; `details` are sentences, the most important first."""

    kind: EventKind
    day: date | None
    text: str
    details: list[str] = []


class FraudView(Struct, kw_only=True):
    """Fraud among decided transactions, as far as labels tell. `alarms`: all that was challenged or declined.

    `caught` is an expected number: of challenged fraud it counts the share that a challenge stops.
    """

    known: int = 0
    caught: float = 0
    known_minor: int = 0
    caught_minor: float = 0
    alarms: int = 0


class DemoSnapshot(Struct, kw_only=True):
    """The demo at one moment. The recorder updates its own and gives out copies.

    `champion_version` is the registry's champion, `serving_version` the version that decides in the stream. `days` are
    the monitor's reports.
    `rate_per_second` counts decisions over the last seconds. Latencies run from the time stamp of the
    transaction's record to the arrival of its committed decision in this process, over the newest decisions.
    Once `measuring`, transactions come at the plan's fixed rate instead of a day at a time. Values of fraud
    are in minor units of `currency`.
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
    fraud: FraudView = field(default_factory=FraudView)
    currency: str = ""
    champion_version: str | None = None
    serving_version: str | None = None
    days: list[DayMonitored] = []
    events: list[Event] = []
