"""The faults that can be switched on while the system runs: what each does, and which are on.

A switch of the simulated world is a record `FaultRequested` in the topic `progress`. The generator, which follows the
topic, applies the fault to what it sends, and writes `FaultBegan` and `FaultEnded`. So a restarted generator finds in
the topic what is on. Faults of the network are in `adapters.local_stack.network_faults`.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from cardwatch.errors import Misconfigured
from cardwatch.progress import FaultBegan, FaultEnded, FaultRequested, Progress

POISON_RECORD: Final = "poison-record"
LATE_LABELS: Final = "late-labels"
NULL_COLUMN: Final = "null-column"
UNIT_CHANGE: Final = "unit-change"
CLOCK_SHIFT: Final = "clock-shift"
BURST: Final = "burst"
DRIFT: Final = "drift"

BROKER_SLOW: Final = "broker-slow"
BROKER_CUT: Final = "broker-cut"
SCORING_SLOW: Final = "scoring-slow"
SCORING_CUT: Final = "scoring-cut"
STORE_SILENT: Final = "store-silent"

MIN_SECONDS: Final = 1.0
MAX_SECONDS: Final = 86_400.0
REQUEST_SECONDS: Final = 60.0
"""How long a fault that happens once may wait for the generator."""
BURST_RATIO: Final = 5.0
"""By how much a burst multiplies the rate."""
GENERATOR: Final = "generator"
"""Name of the process that applies the faults of the simulated world."""
LIVE_RATE_METRIC: Final = "cardwatch_generator_live_rate_per_second"
"""Metric of the generator: the rate of its plan on live days, 0 if it has none."""
NO_GENERATOR: Final = "No generator runs in this stack, which would apply it."
GENERATOR_ENDED: Final = "The generator has come to the end of its plan."
NO_RATE: Final = (
    "It would have no effect: the generator's plan has no rate, so it sends each day at once, when archive and monitor "
    "have the day before."
)
NETWORK_SECONDS: Final = 30.0
"""How long a fault of the network lasts by default."""


class FaultText(Struct, frozen=True, kw_only=True):
    """What a fault is, in words. `box` is where in the diagram one sees it, `seconds` the default until its reset.

    `seconds` is None for a fault that happens once and has no end.
    """

    name: str
    title: str
    box: str
    effect: str
    look: str
    seconds: float | None = None


WORLD_FAULTS: Final = {
    text.name: text
    for text in (
        FaultText(
            name=POISON_RECORD,
            title="Poison record",
            box="kafka",
            effect="The generator writes one record that is no JSON to the topic transactions. The stream worker "
            "copies it to the topic dead-letters with the reason and goes on. No other record is lost.",
            look="The number of dead letters rises by one.",
        ),
        FaultText(
            name=LATE_LABELS,
            title="Late labels",
            box="monitor",
            effect="No labels arrive. When the fault ends, all that were held back arrive at once; none is lost.",
            look="Known fraud stands still, then rises in one step. The monitor's measured precision lags.",
            seconds=180.0,
        ),
        FaultText(
            name=NULL_COLUMN,
            title="Null column",
            box="monitor",
            effect="Transactions arrive without latitude and longitude. The features made of them are missing, and the "
            "model decides without them.",
            look="Decisions go on. When the day is monitored, the data contract is broken and the day is quarantined.",
            seconds=180.0,
        ),
        FaultText(
            name=UNIT_CHANGE,
            title="Unit change",
            box="monitor",
            effect="Amounts arrive in euros in place of cents: a hundredth of what they are.",
            look="Amounts in the list of decisions are small. When the day is monitored, the data contract is broken.",
            seconds=180.0,
        ),
        FaultText(
            name=CLOCK_SHIFT,
            title="Clock shift",
            box="monitor",
            effect="The source's clock is six hours ahead. The date is right: 19:00 becomes 01:00.",
            look="Times in the list of decisions jump. When the day is monitored, the data contract is broken.",
            seconds=180.0,
        ),
        FaultText(
            name=BURST,
            title="Burst",
            box="stream",
            effect=f"The generator sends {BURST_RATIO:.0f} times as many transactions per second as its plan says. The "
            "batches of the stream worker grow, and with them the latency.",
            look="The rate rises; waiting transactions rise and fall again to none.",
            seconds=30.0,
        ),
        FaultText(
            name=DRIFT,
            title="Drift",
            box="monitor",
            effect="From the next simulated day on a fraud ring makes relay attacks, and cardholders spend more and "
            "later online, as in the demo. The champion misses more fraud.",
            look="Once labels have matured: drift, a retraining, a verdict and, if it is better, another champion.",
            seconds=3_600.0,
        ),
    )
}
"""All faults of the simulated world by name, in the order in which they are listed."""
NETWORK_FAULTS: Final = {
    text.name: text
    for text in (
        FaultText(
            name=BROKER_SLOW,
            title="Slow broker",
            box="stream",
            effect="What Kafka answers reaches the stream worker half a second late, and a batch needs several "
            "answers. Decisions come later, and all by the model.",
            look="The p99 of the latency rises to seconds, and transactions wait.",
            seconds=NETWORK_SECONDS,
        ),
        FaultText(
            name=BROKER_CUT,
            title="Lost broker",
            box="stream",
            effect="The stream worker loses all connections to Kafka, and gets no new one. It waits, and then goes on "
            "at its committed offsets.",
            look="The box of the stream worker says what it waits for. Waiting transactions rise, and fall to none "
            "when the connection is back.",
            seconds=NETWORK_SECONDS,
        ),
        FaultText(
            name=SCORING_SLOW,
            title="Slow scoring service",
            box="stream",
            effect="Answers of the scoring service reach the stream worker after six seconds. Its deadline is five "
            "seconds; then the rules decide the batch.",
            look="The share decided by rules rises, and so does the p99 of the latency.",
            seconds=NETWORK_SECONDS,
        ),
        FaultText(
            name=SCORING_CUT,
            title="Lost scoring service",
            box="stream",
            effect="The stream worker cannot connect to the scoring service. The rules decide at once, and nothing "
            "waits.",
            look="All is decided by rules, until the connection is back.",
            seconds=NETWORK_SECONDS,
        ),
        FaultText(
            name=STORE_SILENT,
            title="Silent feature store",
            box="store",
            effect="What the stream worker and the feature store send each other is lost, and the connection stays "
            "open. Without features nothing is decided; afterwards the worker goes on at its committed offsets.",
            look="Waiting transactions rise, and fall to none when the store answers again.",
            seconds=NETWORK_SECONDS,
        ),
    )
}
"""All faults of the network by name: of a connection of the stream worker, by the proxy that forwards it."""
NO_PROXY: Final = "No proxy runs in this stack: start the stack with CARDWATCH_TOXIPROXY, see docs/simulation.md."
"""Why no fault of `NETWORK_FAULTS` can be switched on."""


def on_command(name: str) -> str:
    """Return the command that switches a fault on."""
    return f"cardwatch fault on {name}"


def off_command(name: str) -> str:
    """Return the command that switches a fault off."""
    return f"cardwatch fault off {name}"


def why_without_effect(name: str, live_rate: float | None) -> str | None:
    """Return why a fault would have no effect with a generator of this rate on live days, None if it would have one.

    `live_rate` is that of `LIVE_RATE_METRIC`, None if it is not known.
    """
    return NO_RATE if name == BURST and live_rate == 0.0 else None


class FaultState(Struct, kw_only=True):
    """The state of a fault. Times are ms since 1970.

    `until_ms` is None if nobody has requested it, or after it was switched off. `on_since_ms` is None while the source
    does not apply it. `is_answered`: the source has begun it since the newest request.
    """

    until_ms: int | None = None
    on_since_ms: float | None = None
    is_answered: bool = False

    def is_wanted(self, now_ms: float) -> bool:
        """Whether the fault shall be on."""
        return self.until_ms is not None and now_ms < self.until_ms

    def is_asked(self, now_ms: float) -> bool:
        """Whether the source has been asked for it and has not begun yet."""
        return self.is_wanted(now_ms) and self.on_since_ms is None and not self.is_answered


class FaultStates:
    """The states of all faults, from the records of the topic `progress` in their order."""

    def __init__(self) -> None:
        self._states = {name: FaultState() for name in WORLD_FAULTS}

    def __getitem__(self, name: str) -> FaultState:
        """Return the state of a fault of `WORLD_FAULTS`."""
        return self._states[name]

    def apply(self, record: Progress, at_ms: float) -> None:
        """Take in a record; others than those of faults, and unknown faults, have no effect."""
        if not isinstance(record, FaultRequested | FaultBegan | FaultEnded):
            return
        state = self._states.get(record.name)
        if state is None:
            return
        match record:
            case FaultRequested(until_ms=until_ms):
                state.until_ms, state.is_answered = until_ms, False
            case FaultBegan():
                state.on_since_ms, state.is_answered = at_ms, True
            case FaultEnded():
                state.on_since_ms = None

    def to_begin(self, now_ms: float) -> list[str]:
        """Return the faults that the source shall begin now: those that happen once, once per request."""
        return [
            name
            for name, state in self._states.items()
            if state.is_wanted(now_ms)
            and (state.on_since_ms is None if WORLD_FAULTS[name].seconds is not None else not state.is_answered)
        ]

    def to_end(self, now_ms: float) -> list[str]:
        """Return the faults that the source shall end now."""
        return [
            name
            for name, state in self._states.items()
            if state.on_since_ms is not None and not state.is_wanted(now_ms)
        ]


def require_world_fault(name: str) -> FaultText:
    """Return the fault of the simulated world of this name. Raises `Misconfigured` if there is none."""
    if name not in WORLD_FAULTS:
        raise Misconfigured(f"there is no fault {name!r:.80}; `cardwatch fault list` shows those that there are")
    return WORLD_FAULTS[name]


def network_until_ms(seconds: float | None, now_ms: float) -> float:
    """Return when a fault of `NETWORK_FAULTS` ends that lasts `seconds`, None: the default.

    Raises `Misconfigured` for other seconds than `checked_seconds` accepts.
    """
    return now_ms + 1000.0 * checked_seconds(NETWORK_SECONDS if seconds is None else seconds)


def checked_seconds(seconds: float) -> float:
    """Return the seconds until a reset; raises `Misconfigured` if they are fewer than 1 or more than a day."""
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise Misconfigured(f"a fault lasts {MIN_SECONDS:g} to {MAX_SECONDS:,.0f} seconds, not {seconds:g}")
    return seconds


def on_request(name: str, seconds: float | None, now_ms: float) -> FaultRequested:
    """Return the record that switches a fault on for `seconds`, None: for its default.

    Raises `Misconfigured` if there is no such fault, or for other seconds than `checked_seconds` accepts.
    """
    text = require_world_fault(name)
    if text.seconds is None:
        if seconds is not None:
            raise Misconfigured(f"{name} happens once and has no end: leave the seconds out")
        return FaultRequested(name=name, until_ms=round(now_ms + 1000.0 * REQUEST_SECONDS))
    lasting = checked_seconds(text.seconds if seconds is None else seconds)
    return FaultRequested(name=name, until_ms=round(now_ms + 1000.0 * lasting))


def off_request(name: str) -> FaultRequested:
    """Return the record that switches a fault off. Raises `Misconfigured` if there is no such fault."""
    require_world_fault(name)
    return FaultRequested(name=name, until_ms=None)
