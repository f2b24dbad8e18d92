"""Decisions and the truth about them: the archive's rows in arrays, and what can be said about any slice of them.

The demo simulates its world, so it knows every fraud, also what the bank never learns. Known labels alone would
mislead: the more fraud a model declines, the more of it stays without a label, and the rest looks harder to rank.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.outcome_states import states_of
from adapters.archive.reader import Archive
from cardwatch.events import EPOCH, Action
from cardwatch.label_states import LabelState
from cardwatch.simulation.emitter import transaction_id
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import Typology
from models.evaluation import Evaluation, evaluate


class Quality(Struct, frozen=True, kw_only=True):
    """Quality of some decisions by the simulated truth. Values are in minor units.

    Declined fraud is caught; of challenged fraud the share is caught that a challenge stops, so `frauds_caught` is an
    expected number. Average precision, and recall at a false-positive rate of 0.1 %, are those of the recorded margins;
    None where there is no fraud to rank, or nothing else. `alarms` counts challenges and declines. `censored`:
    declined transactions of which the bank never learned what they were.
    """

    transactions: int
    frauds: int
    average_precision: float | None
    recall: float | None
    alarms: int
    frauds_caught: float
    caught_minor: int
    missed_minor: int
    censored: int = 0


class DecisionOutcomes(Struct, frozen=True, kw_only=True):
    """Decisions as arrays of one length. `margins` is NaN where the rules alone decided.

    `stopped` is the probability with which the action stops fraud: 0 for approvals, 1 for declines. `frauds` is the
    truth; `censored` marks what was declined and has no label.
    """

    days: NDArray[np.datetime64]
    card_ids: NDArray[np.object_]
    versions: NDArray[np.object_]
    margins: NDArray[np.float32]
    amounts_minor: NDArray[np.int64]
    stopped: NDArray[np.float64]
    frauds: NDArray[np.bool_]
    censored: NDArray[np.bool_]

    def between(self, first: date, last: date) -> DecisionOutcomes:
        """The decisions on transactions of these days, both ends included."""
        return self._where((self.days >= np.datetime64(first)) & (self.days <= np.datetime64(last)))

    def quality(self) -> Quality:
        """Return the quality of these decisions."""
        scored = self._where(~np.isnan(self.margins))
        ranked = scored._ranked() if scored.frauds.any() and not scored.frauds.all() else None
        caught = self.stopped[self.frauds]
        amounts = self.amounts_minor[self.frauds]
        return Quality(
            transactions=len(self.days),
            frauds=int(self.frauds.sum()),
            average_precision=ranked.average_precision if ranked else None,
            recall=ranked.recall_at_fpr_0_1_percent if ranked else None,
            alarms=int((self.stopped > 0).sum()),
            frauds_caught=float(caught.sum()),
            caught_minor=round(float(caught @ amounts)),
            missed_minor=round(float((1 - caught) @ amounts)),
            censored=int(self.censored.sum()),
        )

    def version(self) -> str | None:
        """The model version that made most of these decisions, None if the rules made them all."""
        named, counts = np.unique([version for version in self.versions if version], return_counts=True)
        return str(named[counts.argmax()]) if len(named) else None

    def _ranked(self) -> Evaluation:
        return evaluate(
            self.margins,
            self.frauds,
            amount_minor=self.amounts_minor,
            card_ids=self.card_ids,
            days=self.days.astype(np.int64),
        )

    def _where(self, chosen: NDArray[np.bool_]) -> DecisionOutcomes:
        return DecisionOutcomes(**{name: getattr(self, name)[chosen] for name in self.__struct_fields__})


def true_frauds(world: SimulationSettings, days: int) -> set[str]:
    """Return the ids of all fraudulent transactions of the first `days` days of a world without reacting fraudsters."""
    simulation, frauds = Simulation(world), set()
    for number in range(days):
        rows = simulation.simulate_day(number).transactions
        numbers = rows["number"][rows["typology"] != Typology.GENUINE]
        frauds |= {transaction_id(number, each) for each in numbers.tolist()}
    return frauds


def read_outcomes(
    archive: Archive, first: date, last: date, *, frauds: Set[str], challenge_stops_fraud: float
) -> DecisionOutcomes:
    """The decisions of these days. `frauds` are the ids of the transactions that are fraud in truth."""
    decided = archive.decisions(first, last)
    known = archive.labels(EPOCH + (last + timedelta(days=1) - EPOCH.date()))
    states = states_of(decided, known, last, 0)
    stops = {Action.APPROVE.value: 0.0, Action.CHALLENGE.value: challenge_stops_fraud, Action.DECLINE.value: 1.0}
    return DecisionOutcomes(
        days=decided["occurred_at"].cast(pa.timestamp("ms")).to_numpy().astype("datetime64[D]"),
        card_ids=np.array(decided["card_id"].to_pylist(), np.object_),
        versions=np.array(decided["model_version"].to_pylist(), np.object_),
        margins=decided["margin"].fill_null(pa.scalar(float("nan"), pa.float32())).to_numpy().astype(np.float32),
        amounts_minor=decided["amount_minor"].to_numpy().astype(np.int64),
        stopped=np.array([stops[str(action)] for action in decided["action"].to_pylist()], np.float64),
        frauds=np.array([name in frauds for name in decided["transaction_id"].to_pylist()], np.bool_),
        censored=states == LabelState.CENSORED,
    )
