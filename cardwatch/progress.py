"""The topic `progress`: how simulated days go in step, and what a watcher of the system is told.

The source says which positions of the log end a day; archive and monitor answer when they have that day behind them. A
source that knows no simulated days sends heartbeats instead, or nothing at all: then the archive finds the end of a day
by itself, see `services.archive.watermarks`.
Whoever wants to know what happens (the demo's screen, a console) reads this one topic. One partition, so that the
order of events is the order of offsets.
"""

from __future__ import annotations

import logging
from datetime import date
from functools import cache
from typing import Final

import msgspec
from msgspec import Struct, structs

from cardwatch.errors import InvalidRecord
from cardwatch.events import Identifier, UtcTime

log = logging.getLogger(__name__)

STABLE: Final = "stable"
SUSPECTED: Final = "drift suspected"
DECAYED: Final = "decayed"
STATES: Final = (STABLE, SUSPECTED, DECAYED)
"""States of a champion, see `cardwatch.drift.assessment`."""
_OLD_DECAYED: Final = "worn out"
"""Name of the state `DECAYED` in records of earlier versions. It is accepted for one version."""


class DayEmitted(Struct, frozen=True, kw_only=True, tag="day_emitted"):
    """The source has sent all of `day`. The ends are, per partition, the offset after the day's last record.

    `decided` is False for history that was sent before any stream worker ran: no decisions will follow. `inferred`: it
    is not the source that says so but the archive, from heartbeats and event times; a later record may still be of that
    day, and counts from the next table on.
    """

    day: date
    transaction_ends: dict[str, int]
    label_ends: dict[str, int]
    decided: bool
    inferred: bool = False


class Heartbeat(Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """`source` has sent everything that occurred before `at`, transactions up to these ends and labels as well.

    The ends are, per partition, the offset after the last record; a partition that is left out needs no wait. Whoever
    has sent one heartbeat is waited for, until its `last` one: after that it sends nothing more.
    """

    source: Identifier
    at: UtcTime
    transaction_ends: dict[str, int]
    last: bool = False


class DayArchived(Struct, frozen=True, kw_only=True, tag="day_archived"):
    """The archive holds all of `day` and has built the reference table that is valid from the next day on."""

    day: date
    transactions: int
    decisions: int
    labels: int
    table_id: str


class Bootstrapped(Struct, frozen=True, kw_only=True, tag="bootstrapped"):
    """The first champion is trained on history up to `day` and registered; the store holds that history folded in."""

    day: date
    champion_version: str
    average_precision: float


class DayMonitored(Struct, frozen=True, kw_only=True, tag="day_monitored"):
    """The monitor is done with `day`, and so is any retraining that this day started.

    `average_precision` is that of the decisions on the newest matured days, None before enough labels have matured.
    `drifted_features` names the features whose distribution has moved from the champion's training data.
    """

    day: date
    champion_version: str
    average_precision: float | None
    baseline_average_precision: float | None
    matured_frauds: int
    drifted_features: list[str]
    drift_share: float
    state: str

    def __post_init__(self) -> None:
        """Replace the state name of earlier versions."""
        if self.state == _OLD_DECAYED:
            _warn_of_old_state()
            structs.force_setattr(self, "state", DECAYED)


class DriftDetected(Struct, frozen=True, kw_only=True, tag="drift_detected"):
    """The first day on which the policy calls this champion decayed; `reasons` are sentences that explain it."""

    day: date
    champion_version: str
    reasons: list[str]


class RetrainingStarted(Struct, frozen=True, kw_only=True, tag="retraining_started"):
    """A challenger is being trained on what was known at the end of `day`; `RetrainingEnded` of that day follows."""

    day: date
    champion_version: str
    reasons: list[str]


class RetrainingEnded(Struct, frozen=True, kw_only=True, tag="retraining_ended"):
    """A retraining has been judged. `promoted`: the challenger is the champion now, and is being served."""

    day: date
    challenger_version: str | None
    promoted: bool
    reasons: list[str]


class RateStarted(Struct, frozen=True, kw_only=True, tag="rate_started"):
    """From here on the source sends at a fixed rate, waiting for nobody: the phase in which latency is measured."""

    day: date
    rate_per_second: float
    seconds: float


class RateEnded(Struct, frozen=True, kw_only=True, tag="rate_ended"):
    """The fixed-rate phase is over. The ends are, per partition, the offset after its last transaction."""

    day: date
    transactions: int
    transaction_ends: dict[str, int]


Progress = (
    DayEmitted
    | Heartbeat
    | DayArchived
    | Bootstrapped
    | DayMonitored
    | DriftDetected
    | RetrainingStarted
    | RetrainingEnded
    | RateStarted
    | RateEnded
)

_DECODER: Final[msgspec.json.Decoder[Progress]] = msgspec.json.Decoder(Progress)


@cache  # once per process: a topic may hold many old records
def _warn_of_old_state() -> None:
    log.warning("progress records with the state %r are from an earlier version; read as %r", _OLD_DECAYED, DECAYED)


def decode_progress(data: bytes | None) -> Progress:
    """Read one record of the topic, or raise `InvalidRecord`."""
    try:
        return _DECODER.decode(data or b"")
    except msgspec.DecodeError as error:
        raise InvalidRecord(str(error)) from error
