"""A simulated world in which a detector declines transactions, and the fraudsters see it."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.detector.detector import Detector
from cardwatch.features.columns import encode
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.kernel import fold
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import DAY_MS
from cardwatch.features.state import empty_states
from cardwatch.simulation.emitter import RecordEmitter
from cardwatch.simulation.fraud.relay_attack import RelayAttack
from cardwatch.simulation.fraud.simulator import initial_attacks
from cardwatch.simulation.label_array import LabelArray
from cardwatch.simulation.labels import newest_labels
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import TransactionArray
from models.training import TrainingSettings, fit_detector

THRESHOLD_DAYS: Final = 7
"""Days whose scores set the threshold: one week, so that every weekday has the same weight."""
REACTING: Final = tuple(int(attack.typology) for attack in (*initial_attacks(), RelayAttack()) if attack.reacts)
"""The typologies whose groups can react. The fraud of the others, of insiders, is large and hides the difference."""


class DecidedTransactions(NamedTuple):
    """Counts of a period. Amounts are in minor units. Fraud is that of `REACTING`, whether it is reported or not."""

    transactions: int
    declined: int
    frauds: int
    declined_frauds: int
    attempted_minor: int
    approved_minor: int


class _KnownDay(NamedTuple):
    start_ms: int
    features: NDArray[np.float32]
    reports: LabelArray


class DecidedWorld:
    """One world, day after day: features as in the stream, decisions, and declines that fraudsters may be told of.

    `budget` is the share of all transactions that is declined: those with a score that this share of the week before
    exceeded. The threshold needs no labels, and the number of declines stays the same. Fraudsters react only if
    `tells_fraudsters`.
    """

    def __init__(self, settings: SimulationSettings, *, budget: float = 0.0, tells_fraudsters: bool = False) -> None:
        self._simulation = Simulation(settings)
        self._emitter = RecordEmitter(self._simulation.population)
        self._states, self._tables = empty_states(settings.cards), ReferenceBuilder()
        self._budget, self._tells_fraudsters = budget, tells_fraudsters
        self._days: dict[int, _KnownDay] = {}
        self._detector: Detector | None = None
        self._margins: list[NDArray[np.float32]] = []
        self._next_day = 0

    def run_day(self) -> DecidedTransactions:
        """Simulate the next day and decide it; without a detector everything is approved."""
        number = self._next_day
        self._next_day += 1
        day = self._simulation.simulate_day(number)
        records = self._emitter.transactions(number, day.transactions)
        rows = encode(records)
        folded = fold(self._states, day.transactions["card"], rows, self._tables.build(day.day))
        self._tables.add_transactions(rows, identity_hashes([record.card_id for record in records]))
        for label in self._emitter.labels(day.labels):
            self._tables.add_label(ReferenceLabel.of(label))
        start_ms = int(rows["occurred_at_ms"][0]) // DAY_MS * DAY_MS
        self._days[number] = _KnownDay(start_ms, folded.features, day.reports)
        is_declined = self._declines(folded.features)
        if self._tells_fraudsters:
            self._simulation.observe_declines(number, is_declined)
        return outcome_of(day.transactions, is_declined)

    def train(self, first_day: int, until_day: int) -> None:
        """Train a detector on days `first_day` to before `until_day`, with the labels known when the next day begins.

        From then on it decides. Days that are no longer needed are forgotten.
        """
        now_ms = self._days[self._next_day - 1].start_ms + DAY_MS
        training = [self._days[number] for number in range(first_day, until_day)]
        features = np.concatenate([day.features for day in training])
        is_fraud = np.concatenate([known_frauds(day.reports, len(day.features), now_ms) for day in training])
        fitted = fit_detector(
            features,
            is_fraud,
            calibration_features=features,
            calibration_is_fraud=is_fraud,  # the threshold is on margins, which know no calibration
            settings=TrainingSettings(threads=1),
        )
        self._detector = fitted.detector
        week = range(self._next_day - THRESHOLD_DAYS, self._next_day)
        self._margins = [self._detector.margins(self._days[number].features) for number in week]

    def forget_before(self, day: int) -> None:
        """Drop the feature rows of days before `day`, which no training needs any more."""
        self._days = {number: known for number, known in self._days.items() if number >= day}

    def fork(self, *, budget: float | None = None, tells_fraudsters: bool | None = None) -> DecidedWorld:
        """Return an independent copy with the same past, maybe with another future."""
        twin = copy(self)
        # Feature rows and detectors never change, and are shared.
        twin._days, twin._margins = dict(self._days), list(self._margins)
        twin._simulation, twin._states, twin._tables = deepcopy((self._simulation, self._states, self._tables))
        twin._emitter = RecordEmitter(twin._simulation.population)
        if budget is not None:
            twin._budget = budget
        if tells_fraudsters is not None:
            twin._tells_fraudsters = tells_fraudsters
        return twin

    def _declines(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        if self._detector is None:
            return np.zeros(len(features), np.bool_)
        margins = self._detector.margins(features)
        is_declined = margins > threshold_of(np.concatenate(self._margins), self._budget)
        self._margins = [*self._margins[1:], margins]
        return is_declined


def threshold_of(margins: NDArray[np.float32], budget: float) -> float:
    """Return the score that at most a share `budget` of these scores exceeds."""
    allowed = int(budget * len(margins))
    return float(np.partition(margins, len(margins) - 1 - allowed)[len(margins) - 1 - allowed])


def known_frauds(reports: LabelArray, count: int, now_ms: int) -> NDArray[np.bool_]:
    """Return which of `count` transactions of one day are labelled as fraud at `now_ms`, by their newest label."""
    newest = newest_labels(reports[reports["observed_at_ms"] < now_ms])
    is_fraud = np.zeros(count, np.bool_)
    is_fraud[newest["number"][newest["is_fraud"]]] = True
    return is_fraud


def outcome_of(transactions: TransactionArray, is_declined: NDArray[np.bool_]) -> DecidedTransactions:
    """Return what became of a day's transactions."""
    is_fraud, amount = np.isin(transactions["typology"], REACTING), transactions["amount_minor"]
    return DecidedTransactions(
        transactions=len(transactions),
        declined=int(is_declined.sum()),
        frauds=int(is_fraud.sum()),
        declined_frauds=int((is_fraud & is_declined).sum()),
        attempted_minor=int(amount[is_fraud].sum()),
        approved_minor=int(amount[is_fraud & ~is_declined].sum()),
    )
