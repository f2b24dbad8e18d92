"""A simulated world that the cost policy decides in process: history that is approved, a detector, and live days."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy, channels_of
from cardwatch.detector.detector import Detector
from cardwatch.events import Label
from cardwatch.features.columns import encode
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.kernel import fold
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.state import empty_states
from cardwatch.simulation.emitter import RecordEmitter
from cardwatch.simulation.selection import APPROVE
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import Typology
from models.training import TrainingSettings, fit_detector


class DecidedDay(NamedTuple):
    """n transactions of a day with the truth, and the labels that were observed on this day, about any day.

    `features` is float32 [n, features]; `margins`, `probabilities`, `actions` (positions in `ACTIONS`), `is_fraud` and
    `amount_minor` have shape [n]. Without a detector margins are 0 and everything is approved.
    """

    day: date
    transaction_ids: list[str]
    features: NDArray[np.float32]
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    actions: NDArray[np.int8]
    is_fraud: NDArray[np.bool_]
    amount_minor: NDArray[np.int64]
    labels: list[Label]


class PolicyWorld:
    """One world, day after day, with the features of the stream. It approves everything until it has a detector."""

    def __init__(self, settings: SimulationSettings, policy: DecisionPolicy, detector: Detector | None = None) -> None:
        self._simulation, self._policy, self._detector = Simulation(settings), policy, detector
        self._emitter = RecordEmitter(self._simulation.population)
        self._states, self._tables = empty_states(settings.cards), ReferenceBuilder()
        self._next_day = 0

    def run_day(self) -> DecidedDay:
        """Simulate and decide the next day, and let its labels follow from the decisions."""
        records = self._simulation.begin_records(self._next_day)
        rows = encode(records)
        day = records[0].occurred_at.date()
        cards = np.array([int(record.card_id.removeprefix("card-")) for record in records])
        features = fold(self._states, cards, rows, self._tables.build(day)).features
        self._tables.add_transactions(rows, identity_hashes([record.card_id for record in records]))
        margins, probabilities = np.zeros(len(rows), np.float32), np.zeros(len(rows))
        actions = np.full(len(rows), APPROVE, np.int8)
        if self._detector is not None:
            margins = self._detector.margins(features)
            probabilities = self._detector.probabilities(margins)
            decided = self._policy.decide(probabilities, rows["amount_minor"].astype(np.float64), channels_of(features))
            actions = np.array([ACTIONS.index(action) for action in decided], np.int8)
        events = self._simulation.end_records(records, None if self._detector is None else actions)
        for label in events.labels:
            self._tables.add_label(ReferenceLabel.of(label))
        self._next_day += 1
        is_fraud = np.array([truth.typology is not Typology.GENUINE for truth in events.truth])
        ids = [record.transaction_id for record in records]
        amounts = rows["amount_minor"].astype(np.int64)
        return DecidedDay(day, ids, features, margins, probabilities, actions, is_fraud, amounts, events.labels)

    def train(self, days: list[DecidedDay], observed: list[DecidedDay]) -> Detector:
        """Train and return a detector on `days` with the labels of `observed`. It decides from the next day on.

        The trees are fitted on four fifths of the rows and calibrated on the others.
        """
        frauds = {label.transaction_id for day in observed for label in day.labels if label.is_fraud}
        features = np.concatenate([day.features for day in days])
        is_fraud = np.array([name in frauds for day in days for name in day.transaction_ids])
        held_out = np.arange(len(features)) % 5 == 0
        self._detector = fit_detector(
            features[~held_out],
            is_fraud[~held_out],
            calibration_features=features[held_out],
            calibration_is_fraud=is_fraud[held_out],
            settings=TrainingSettings(threads=1),
        ).detector
        return self._detector
