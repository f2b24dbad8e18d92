"""What the console's page receives: one JSON document per server-sent event, a `Frame`.

The types are the contract between the service, the page and the replay file, which holds the same frames. The page has
them in TypeScript (`services/console/page/src/frames.ts`), and `tests/unit/services/console/test_page_types.py` holds
both against each other.
"""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from cardwatch.progress import DayMonitored

BOXES = ("generator", "kafka", "stream", "store", "scoring", "archive", "monitor", "pipelines", "mlflow")
"""The boxes of the diagram, in the order of the data."""


class BoxState(Enum):
    """The state of a process, as far as the console can tell.

    `EXTERNAL`: it answers, and somebody else has started it. `ABSENT`: it is no part of this stack. `DONE`: it ended.
    """

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"
    FROZEN = "frozen"
    DOWN = "down"
    DONE = "done"
    EXTERNAL = "external"
    ABSENT = "absent"


class SystemState(Enum):
    """What a visitor must know first. `RECORDING`: a demo writes this run to its replay file."""

    STARTING = "starting"
    NO_CHAMPION = "no champion"
    DEGRADED = "degraded"
    DRIFT_SUSPECTED = "drift suspected"
    DECAYED = "decayed"
    RETRAINING = "retraining"
    RECORDING = "recording"


class Figure(Struct, frozen=True, kw_only=True):
    """A number of a box. `unit` is a short text such as `/s`, `ms` or `records`; None if nothing was measured yet."""

    name: str
    value: float | None
    unit: str = ""


class Box(Struct, frozen=True, kw_only=True):
    """A box of the diagram. `process` is the worst of its processes; `reason` is why that one is not ready.

    `actions` are those that the console may take now, `commands` what to type for an action instead, by its name. In
    compose there are commands and no actions: no container may stop another one.
    """

    name: str
    state: BoxState
    process: str = ""
    reason: str | None = None
    pid: int | None = None
    restarts: int = 0
    address: str = ""
    figures: list[Figure] = []
    actions: list[str] = []
    commands: dict[str, str] = {}


class TrafficFigures(Struct, frozen=True, kw_only=True):
    """What flows, per second over the last seconds, and end-to-end latencies in ms, None before the first decision.

    `waiting` transactions are in the log and not decided. Shares are of the decisions in this time, 0..1.
    """

    transactions_per_second: float
    by_model_per_second: float
    by_rules_per_second: float
    waiting: int
    p50_ms: float | None
    p99_ms: float | None


class Totals(Struct, frozen=True, kw_only=True):
    """Counts since the console has been following the topics."""

    transactions: int
    decisions: int
    degraded: int
    dead_letters: int
    approved: int
    challenged: int
    declined: int


class Money(Struct, frozen=True, kw_only=True):
    """Known fraud among the followed decisions, in minor units of `currency`.

    `stopped_minor` is an expected amount: of challenged fraud it counts the share that a challenge stops. `alerts` are
    all challenges and declines.
    """

    currency: str = ""
    known_frauds: int = 0
    known_minor: int = 0
    stopped_frauds: float = 0.0
    stopped_minor: float = 0.0
    alerts: int = 0


class ModelFigures(Struct, frozen=True, kw_only=True):
    """The model: the registry's champion, the version that decides, and the monitor's newest assessment."""

    champion_version: str | None
    serving_version: str | None
    drift_state: str | None
    average_precision: float | None
    baseline_average_precision: float | None
    label_coverage: float | None


class Lane(Struct, frozen=True, kw_only=True):
    """Positions in one partition of `transactions`: committed <= log_end, and applied <= committed but for a moment.

    `refolded` records were decided before the worker's last start and missing in the store, so that it has folded them
    again; None before the worker's metrics are known.
    """

    partition: int
    log_end: int
    committed: int
    applied: int | None
    refolded: int | None = None


class StepFrame(Struct, frozen=True, kw_only=True):
    """Holding the worker before a step of the commit order: whether it is possible, asked for, and the case.

    `asked` and `held` are names of steps; `pid` is the worker that stands still.
    """

    is_possible: bool
    asked: str | None = None
    held: str | None = None
    pid: int | None = None


class LiveFrame(Struct, frozen=True, kw_only=True, tag="live"):
    """The system at one moment. `at_ms` is the clock of the service in ms since 1970, `day` the simulated day."""

    at_ms: float
    day: date | None
    states: list[SystemState]
    boxes: list[Box]
    traffic: TrafficFigures
    totals: Totals
    money: Money
    model: ModelFigures
    lanes: list[Lane]
    step: StepFrame = StepFrame(is_possible=False)


class MomentFrame(Struct, frozen=True, kw_only=True, tag="moment"):
    """The traffic at a moment of the last minutes, for the charts of a page that has just been opened."""

    at_ms: float
    traffic: TrafficFigures


class EventKind(Enum):
    """Kinds of events on the timeline. `DATA`: a finding about the data; `PROCESS`: a process has changed its state.

    `FAULT`: a fault of the simulated world has been switched on or off.
    """

    STACK = "stack"
    HISTORY = "history"
    CHAMPION = "champion"
    LIVE = "live"
    CHANGE = "change"
    DATA = "data"
    DRIFT = "drift"
    RETRAINING = "retraining"
    VERDICT = "verdict"
    SWAP = "swap"
    MEASURE = "measure"
    PROCESS = "process"
    FAULT = "fault"


class EventFrame(Struct, frozen=True, kw_only=True, tag="event"):
    """A line of the timeline. `number` counts from 0, so that a page that reconnects knows what it has.

    `day` is the simulated day, None for an event of the processes. `details` are sentences, the most important first.
    """

    number: int
    at_ms: float
    kind: EventKind
    day: date | None
    text: str
    details: list[str] = []


class DayFrame(Struct, frozen=True, kw_only=True, tag="day"):
    """What the monitor has found on one day, for the charts."""

    monitored: DayMonitored


class DecisionLine(Struct, frozen=True, kw_only=True):
    """One line in the list of decisions. `reasons` are codes."""

    partition: int
    offset: int
    transaction_id: str
    card_id: str
    occurred_at: str
    amount_minor: int
    currency: str
    channel: str
    action: str
    probability: float | None
    degraded: bool
    latency_ms: float
    reasons: list[str]


class DecisionsFrame(Struct, frozen=True, kw_only=True, tag="decisions"):
    """Newest decisions, in the order of their arrival: all alerts, and a sample of approvals if there are too many.

    `skipped` approvals were left out.
    """

    lines: list[DecisionLine]
    skipped: int = 0


Frame: TypeAlias = LiveFrame | MomentFrame | EventFrame | DayFrame | DecisionsFrame
"""Everything that is sent; `type` tells which."""
