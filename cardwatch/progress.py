"""The records of the topic `progress`, which synchronise simulated days and report on the system.

The source publishes the log positions at which a day ends; archive and monitor publish when they have processed that
day. A source without simulated days sends heartbeats, or nothing: then the archive determines the end of a day itself,
see `services.archive.watermarks`. The demo's screen and the console read this topic to show what happens. It has one
partition, so the order of events is the order of offsets.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, structs

from cardwatch.data_contract.finding import DataFinding
from cardwatch.errors import InvalidRecord
from cardwatch.events import FIRST_DAY, LAST_DAY, Identifier, UtcTime, validate_time
from cardwatch.label_states import LabelCoverage

log = logging.getLogger(__name__)

STABLE: Final = "stable"
SUSPECTED: Final = "drift suspected"
DECAYED: Final = "decayed"
STATES: Final = (STABLE, SUSPECTED, DECAYED)
"""States of a champion, see `cardwatch.drift.assessment`."""
_OLD_DECAYED: Final = "worn out"
"""Name of the state `DECAYED` in records of earlier versions. It is accepted for one version."""

PartitionEnds = dict[Annotated[str, Meta(pattern=r"^[0-9]{1,9}\Z")], Annotated[int, Meta(ge=0, lt=2**62)]]
"""Per partition, the offset after the last record."""
Version = Annotated[str, Meta(min_length=1, max_length=64, description="Version of a model in the registry.")]
Number = Annotated[int, Meta(ge=0, lt=2**62)]
Proportion = Annotated[float, Meta(ge=0, le=1)]


class DayEmitted(Struct, frozen=True, kw_only=True, tag="day_emitted"):
    """The source has sent all records of `day`. The ends are, per partition, the offset after the day's last record.

    `decided` is False for history that was sent before any stream worker ran: no decisions follow. `inferred` is True
    if the archive derived the end of the day from heartbeats and event times: then records of that day may still
    arrive, and they count from the next reference table on.
    """

    day: date
    transaction_ends: PartitionEnds
    label_ends: PartitionEnds
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
    transaction_ends: PartitionEnds
    last: bool = False


class DayArchived(Struct, frozen=True, kw_only=True, tag="day_archived"):
    """The archive holds all records of `day` and has built the reference table that is valid from the next day on."""

    day: date
    transactions: Number
    decisions: Number
    labels: Number
    table_id: str


class Bootstrapped(Struct, frozen=True, kw_only=True, tag="bootstrapped"):
    """The first champion was trained on history up to `day` and registered; the feature store holds that history."""

    day: date
    champion_version: Version
    average_precision: Proportion


class NullShareChange(Struct, frozen=True, kw_only=True):
    """Shares of the rows without a value of one feature: in the champion's drift reference, and on the day."""

    reference: Proportion
    current: Proportion


class ActionShareChange(Struct, frozen=True, kw_only=True):
    """Shares of an action: in the champion's drift reference, decided again by model and policy, and in newest days."""

    reference: Proportion
    current: Proportion


class RecallBounds(Struct, frozen=True, kw_only=True):
    """Share of the fraud that decisions stopped, in number: at least `low`, at most `high`."""

    low: Proportion
    high: Proportion


class Signal(Struct, frozen=True, kw_only=True):
    """What the monitor has noticed: one of `cardwatch.drift.signals.SIGNALS` with its severity, in a sentence.

    `since` is the first of the consecutive days with a signal of this name.
    """

    name: str
    severity: str
    since: date
    sentence: str


class DayMonitored(Struct, frozen=True, kw_only=True, tag="day_monitored"):
    """The monitor has processed `day`, and any retraining that this day started has ended.

    `average_precision` is that of the decisions on the newest matured days, None before enough labels have matured.
    `missed_frauds` of the champion's `matured_decisions` on these days were approved frauds, and
    `baseline_missed_per_10000` is the rate per 10,000 decisions that this is compared with.
    `drifted_features` are the features whose distribution differs from the champion's training data. `not_compared`
    are the monitored features whose distribution cannot be compared, each with the reason; `null_share_changes` are
    those that were missing much more or less often on `day` than in the training data. `data_findings` are what breaks
    the champion's data contract: those that block quarantine the days that they affect. None of these has an influence
    on `state`. `label_coverage` counts the decisions on the matured days of `average_precision` and on the newest days
    by what is known of their outcomes. `estimated_average_precision` is the average precision of the newest days as the
    probabilities of their scores expect it, `estimate_of_matured` the same of the days of `average_precision`, so that
    both can be compared; see `cardwatch.drift.estimated_performance`. `action_share_changes` are the actions that are
    much more or less frequent than before. `recall_bounds` are those of the decisions on the matured days, whoever made
    them: declined transactions without an outcome may all be fraud or none of it, see `cardwatch.recall_bounds`;
    None if there may have been no fraud. `signals` are all of these as sentences, with severities. Records of earlier
    versions have none of them.
    """

    day: date
    champion_version: Version
    average_precision: Proportion | None
    baseline_average_precision: Proportion | None
    matured_frauds: Number
    drifted_features: list[str]
    drift_share: Proportion
    state: str
    not_compared: dict[str, str] = {}
    null_share_changes: dict[str, NullShareChange] = {}
    data_findings: list[DataFinding] = []
    label_coverage: LabelCoverage | None = None
    estimated_average_precision: Proportion | None = None
    estimate_of_matured: Proportion | None = None
    action_share_changes: dict[str, ActionShareChange] = {}
    recall_bounds: RecallBounds | None = None
    signals: list[Signal] = []
    missed_frauds: Number = 0
    matured_decisions: Number = 0
    baseline_missed_per_10000: Annotated[float, Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        """Replace the state name of earlier versions; raises `ValueError` for an unknown state."""
        if self.state == _OLD_DECAYED:
            _warn_of_old_state()
            structs.force_setattr(self, "state", DECAYED)
        if self.state not in STATES:
            raise ValueError(f"unknown state {self.state!r}")


class DriftDetected(Struct, frozen=True, kw_only=True, tag="drift_detected"):
    """The first day on which the policy calls this champion decayed; `reasons` are sentences that explain it."""

    day: date
    champion_version: Version
    reasons: list[str]


class RetrainingStarted(Struct, frozen=True, kw_only=True, tag="retraining_started"):
    """Training of a challenger on the data known at the end of `day` has started; `RetrainingEnded` follows.

    `excluded_days` are the quarantined days, which are left out of training and judging.
    """

    day: date
    champion_version: Version
    reasons: list[str]
    excluded_days: list[date] = []


class RetrainingEnded(Struct, frozen=True, kw_only=True, tag="retraining_ended"):
    """A retraining has ended. `promoted`: the challenger has passed its verdict, and has entered the ladder."""

    day: date
    challenger_version: Version | None
    promoted: bool
    reasons: list[str]


class ModelMoved(Struct, frozen=True, kw_only=True, tag="model_moved"):
    """Move `number` of the move log, see `cardwatch.ladder.moves`; `champion_version` decides after it.

    `share` is that of a canary. `day` is the newest archived event day then.
    """

    day: date
    number: Annotated[int, Meta(ge=1, lt=2**31)]
    kind: Annotated[str, Meta(min_length=1, max_length=32)]
    version: Version
    champion_version: Version | None
    actor: Annotated[str, Meta(max_length=500)]
    reason: Annotated[str, Meta(max_length=500)]
    share: Annotated[float, Meta(gt=0, lt=1)] | None = None

    @property
    def changes_champion(self) -> bool:
        """Whether another version decides from now on."""
        return self.kind in {"promote", "rollback"}


class QuarantineReleased(Struct, frozen=True, kw_only=True, tag="quarantine_released"):
    """Somebody has released the quarantined days from `first_day` to `day`. `because` says why their data are right."""

    first_day: date
    day: date
    because: Annotated[str, Meta(min_length=1, max_length=500)]


FaultName = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z", description="Name in cardwatch/live/faults.py.")]


class FaultRequested(Struct, frozen=True, kw_only=True, tag="fault_requested"):
    """Somebody has switched a fault of the simulated world on, until `until_ms`, ms since 1970; None: off again."""

    name: FaultName
    until_ms: Number | None


class FaultBegan(Struct, frozen=True, kw_only=True, tag="fault_began"):
    """The source applies a fault from now on, within `day`; a change of the population from the start of `day` on."""

    day: date
    name: FaultName


class FaultEnded(Struct, frozen=True, kw_only=True, tag="fault_ended"):
    """The source does not apply a fault any more, from within `day` or, for the population, from its start on."""

    day: date
    name: FaultName


class RateStarted(Struct, frozen=True, kw_only=True, tag="rate_started"):
    """The source starts sending at a fixed rate, without waiting for other services, to measure latency."""

    day: date
    rate_per_second: float
    seconds: float


class RateEnded(Struct, frozen=True, kw_only=True, tag="rate_ended"):
    """The fixed-rate phase has ended. The ends are, per partition, the offset after its last transaction."""

    day: date
    transactions: Number
    transaction_ends: PartitionEnds


Progress = (
    DayEmitted
    | Heartbeat
    | DayArchived
    | Bootstrapped
    | DayMonitored
    | DriftDetected
    | RetrainingStarted
    | RetrainingEnded
    | ModelMoved
    | QuarantineReleased
    | FaultRequested
    | FaultBegan
    | FaultEnded
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
        record = _DECODER.decode(data or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRecord(str(error)) from error
    except RecursionError as error:
        raise InvalidRecord("nested too deeply") from error
    if isinstance(record, Heartbeat):
        validate_time(record.at, "at")
    elif isinstance(record, FaultRequested):
        pass  # it is about the present, and names no simulated day
    elif isinstance(record, QuarantineReleased) and not FIRST_DAY <= record.first_day <= record.day:
        raise InvalidRecord(f"must lie between {FIRST_DAY} and the last released day", field="$.first_day")
    elif not FIRST_DAY <= record.day <= LAST_DAY:
        raise InvalidRecord(f"lies outside of {FIRST_DAY} to {LAST_DAY}", field="$.day")
    return record


def require_known_partitions(record: Progress, partitions: Iterable[int]) -> None:
    """Raise `InvalidRecord` if the record names a partition that the topics do not have."""
    ends: list[Mapping[str, int]] = []
    match record:
        case DayEmitted():
            ends = [record.transaction_ends, record.label_ends]
        case Heartbeat() | RateEnded():
            ends = [record.transaction_ends]
        case _:
            pass
    known = {str(partition) for partition in partitions}
    if unknown := sorted(set().union(*ends) - known):
        raise InvalidRecord(f"names partitions that do not exist: {', '.join(unknown)}", field="$.transaction_ends")
