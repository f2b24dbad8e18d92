"""What the topics say: counts, the model, known fraud, the timeline and the newest decisions. It does no I/O.

Decoding dominates the cost of following thousands of records per second, so only the fields that are shown are decoded.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from cardwatch.errors import InvalidRecord
from cardwatch.events import Action, decode_with
from cardwatch.label_states import LabelCoverage
from cardwatch.live.event_time import NEWEST, event_time
from cardwatch.live.faults import FaultStates
from cardwatch.live.frames import DayFrame, DecisionLine, ModelFigures, Money
from cardwatch.live.fraud_counter import FraudCounter
from cardwatch.live.rates import LatencyWindow, RateCounter
from cardwatch.live.timeline import Timeline
from cardwatch.progress import DayMonitored, Progress, RetrainingEnded, RetrainingStarted, decode_progress
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, LABELS, PROGRESS

KEPT_LINES: Final = 2_000
"""Number of newest decisions whose lines are kept."""
KEPT_DAYS: Final = 400
KEPT_RECORDS: Final = 5_000
"""Number of newest decisions whose whole records are kept, some 2 kB each."""

log = logging.getLogger(__name__)


class _ShownTransaction(Struct):
    transaction_id: str
    card_id: str
    occurred_at: str
    amount_minor: int
    currency: str
    channel: str


class _ShownDecision(Struct):
    transaction: _ShownTransaction
    partition: int
    offset: int
    action: str
    reasons: list[str]
    latency_ms: float
    model_version: str | None = None
    canary_version: str | None = None
    probability: float | None = None
    degraded: bool = False


class _ShownLabel(Struct):
    transaction_id: str
    is_fraud: bool


_DECISION: Final = msgspec.json.Decoder(_ShownDecision)
_LABEL: Final = msgspec.json.Decoder(_ShownLabel)


class TopicState:
    """State of the followed topics. `stops` is the share of fraud that each action stops; times are monotonic.

    `on_decision` is called for each followed decision, under `lock`.

    One thread takes records in; whoever reads collections in another thread holds `lock`.
    """

    def __init__(
        self,
        stops: Mapping[str, float],
        now_seconds: float,
        *,
        on_decision: Callable[[DecisionLine], None] | None = None,
    ) -> None:
        self._on_decision = on_decision
        self.lock = threading.Lock()
        self.timeline = Timeline()
        self.faults = FaultStates()
        self.days: deque[DayFrame] = deque(maxlen=KEPT_DAYS)
        self.lines: deque[DecisionLine] = deque(maxlen=KEPT_LINES)
        self._records: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self.added_lines = self.added_days = 0
        self.actions = dict.fromkeys((action.value for action in Action), 0)
        self.degraded = self.dead_letters = 0
        self.by_model, self.by_rules = RateCounter(now_seconds), RateCounter(now_seconds)
        self.latency = LatencyWindow()
        self.is_retraining = False
        self._fraud = FraudCounter(stops)
        self._serving_version: str | None = None
        self._champion_version: str | None = None
        self._newest: DayMonitored | None = None
        self._iso_day = ""

    @property
    def decisions(self) -> int:
        """Number of followed decisions."""
        return sum(self.actions.values())

    @property
    def day(self) -> date | None:
        """The newest event day of a decision."""
        return date.fromisoformat(self._iso_day) if self._iso_day else None

    @property
    def drift_state(self) -> str | None:
        """The monitor's newest word on the champion."""
        return self._newest.state if self._newest else None

    @property
    def newest_day(self) -> DayMonitored | None:
        """What the monitor has found on its newest day."""
        return self._newest

    def record(self, partition: int, offset: int) -> bytes | None:
        """Return the whole decision of the transaction at this position; None if it is none of the newest."""
        return self._records.get((partition, offset))

    def begin_rates(self, now_seconds: float) -> None:
        """Begin to count rates here: what was taken in so far happened before."""
        self.by_model.begin_at(self.decisions - self.degraded, now_seconds)
        self.by_rules.begin_at(self.degraded, now_seconds)

    def lines_of(self, card_id: str) -> list[DecisionLine]:
        """Return the decisions about a card among the newest ones, in the order of their arrival."""
        with self.lock:
            return [line for line in self.lines if line.card_id == card_id]

    def event_time(self) -> datetime | None:
        """Return the event time that the newest decisions are about, None before the first."""
        with self.lock:
            newest = [line.occurred_at for line in islice(reversed(self.lines), NEWEST)]
        return event_time([each for text in newest if (each := _utc_time(text)) is not None])

    def money(self) -> Money:
        """Return known fraud among the followed decisions."""
        return self._fraud.money()

    def model(self) -> ModelFigures:
        """Return what is known of the model."""
        newest = self._newest
        return ModelFigures(
            champion_version=self._champion_version,
            serving_version=self._serving_version,
            drift_state=self.drift_state,
            average_precision=newest.average_precision if newest else None,
            baseline_average_precision=newest.baseline_average_precision if newest else None,
            label_coverage=_share_known(newest.label_coverage) if newest and newest.label_coverage else None,
        )

    def take(self, records: Sequence[Record], now_seconds: float) -> None:
        """Take in records of the topics. A record that breaks its topic's contract is logged and passed over."""
        for record in records:
            try:
                self._take(record, now_seconds)
            except InvalidRecord as error:
                log.warning("%s[%d] %d is passed over: %.200s", record.topic, record.partition, record.offset, error)
        self.by_model.reached(self.decisions - self.degraded, now_seconds)
        self.by_rules.reached(self.degraded, now_seconds)

    def _take(self, record: Record, now_seconds: float) -> None:
        match record.topic:
            case topic if topic == DECISIONS:
                decision = decode_with(_DECISION, record.value or b"")
                self._decided(decision, record.timestamp_ms)
                self.latency.add(decision.latency_ms, now_seconds)
                self._records[decision.partition, decision.offset] = record.value or b""
                if len(self._records) > KEPT_RECORDS:
                    self._records.popitem(last=False)
            case topic if topic == LABELS:
                label = decode_with(_LABEL, record.value or b"")
                if label.is_fraud:
                    self._fraud.fraud(label.transaction_id)
            case topic if topic == DEAD_LETTERS:
                self.dead_letters += 1
            case topic if topic == PROGRESS:
                self._apply(decode_progress(record.value), record.timestamp_ms)

    def _decided(self, decision: _ShownDecision, at_ms: float) -> None:
        payment = decision.transaction
        if decision.action not in self.actions:
            raise InvalidRecord(f"unknown action {decision.action!r:.40}")
        iso_day = payment.occurred_at[:10]
        if iso_day > self._iso_day:
            self._iso_day = _checked_day(iso_day)
        self.actions[decision.action] += 1
        self.degraded += decision.degraded
        self._fraud.decided(payment.transaction_id, payment.amount_minor, payment.currency, decision.action)
        version = decision.model_version
        if version is not None and version not in {self._serving_version, decision.canary_version}:
            self.timeline.decided_by(version, at_ms, date.fromisoformat(self._iso_day))
            self._serving_version = version
        line = DecisionLine(
            partition=decision.partition,
            offset=decision.offset,
            transaction_id=payment.transaction_id,
            card_id=payment.card_id,
            occurred_at=payment.occurred_at,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            channel=payment.channel,
            action=decision.action,
            probability=decision.probability,
            degraded=decision.degraded,
            latency_ms=decision.latency_ms,
            reasons=decision.reasons,
        )
        self.added_lines += 1
        self.lines.append(line)
        if self._on_decision is not None:
            self._on_decision(line)

    def _apply(self, progress: Progress, at_ms: float) -> None:
        self.timeline.apply(progress, at_ms)
        self.faults.apply(progress, at_ms)
        match progress:
            case DayMonitored():
                self._newest = progress
                self._champion_version = progress.champion_version
                self.days.append(DayFrame(monitored=progress))
                self.added_days += 1
            case RetrainingStarted():
                self.is_retraining = True
            case RetrainingEnded():
                self.is_retraining = False
            case _:
                self._champion_version = getattr(progress, "champion_version", self._champion_version)


def _checked_day(iso_day: str) -> str:
    try:
        date.fromisoformat(iso_day)
    except ValueError as error:
        raise InvalidRecord(f"occurred_at begins with {iso_day!r}, which is no day") from error
    return iso_day


def _utc_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)


def _share_known(coverage: LabelCoverage) -> float | None:
    """Return the share of matured transactions whose outcome is known or presumed, None without any."""
    known = coverage.known_fraud + coverage.known_genuine + coverage.presumed_genuine
    matured = known + coverage.censored
    return known / matured if matured else None
