"""The records of the topic `progress`, which synchronise simulated days and report on the system.

The source publishes the log positions at which a day ends; archive and monitor publish when they have processed that
day. A source without simulated days sends heartbeats, or nothing: then the archive determines the end of a day itself,
see `services.archive.watermarks`. The demo's screen and the console read this topic to show what happens. It has one
partition, so the order of events is the order of offsets.
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
    """The source has sent all records of `day`. The ends are, per partition, the offset after the day's last record.

    `decided` is False for history that was sent before any stream worker ran: no decisions follow. `inferred` is True
    if the archive derived the end of the day from heartbeats and event times: then records of that day may still
    arrive, and they count from the next reference table on.
    """

    day: date
    transaction_ends: dict[str, int]
    label_ends: dict[str, int]
    decided: bool
    inferred: bool = False


class Heartbeat(Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """`source` has sent all transactions and labels that occurred before `at`.

    The ends are, per partition, the offset after the last transaction; the archive does not wait for an omitted
    partition. After its first heartbeat the archive waits for a source, until the one with `last`, which ends the
    source.
    """

    source: Identifier
    at: UtcTime
    transaction_ends: dict[str, int]
    last: bool = False


class DayArchived(Struct, frozen=True, kw_only=True, tag="day_archived"):
    """The archive holds all records of `day` and has built the reference table that is valid from the next day on."""

    day: date
    transactions: int
    decisions: int
    labels: int
    table_id: str


class Bootstrapped(Struct, frozen=True, kw_only=True, tag="bootstrapped"):
    """The first champion was trained on history up to `day` and registered; the feature store holds that history."""

    day: date
    champion_version: str
    average_precision: float


class DayMonitored(Struct, frozen=True, kw_only=True, tag="day_monitored"):
    """The monitor has processed `day`, and any retraining that this day started has ended.

    `average_precision` is that of the decisions on the newest matured days, None before enough labels have matured.
    `drifted_features` are the features whose distribution differs from the champion's training data.
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
    """Training of a challenger on the data known at the end of `day` has started; `RetrainingEnded` follows."""

    day: date
    champion_version: str
    reasons: list[str]


class RetrainingEnded(Struct, frozen=True, kw_only=True, tag="retraining_ended"):
    """A retraining has ended. `promoted`: the challenger is the champion now, and is served."""

    day: date
    challenger_version: str | None
    promoted: bool
    reasons: list[str]


class RateStarted(Struct, frozen=True, kw_only=True, tag="rate_started"):
    """The source starts sending at a fixed rate, without waiting for other services, to measure latency."""

    day: date
    rate_per_second: float
    seconds: float


class RateEnded(Struct, frozen=True, kw_only=True, tag="rate_ended"):
    """The fixed-rate phase has ended. The ends are, per partition, the offset after its last transaction."""

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
    """Decode one record of the topic; raises `InvalidRecord`."""
    try:
        return _DECODER.decode(data or b"")
    except msgspec.DecodeError as error:
        raise InvalidRecord(str(error)) from error
