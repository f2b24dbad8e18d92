"""A simulated world in which Cardwatch decides: feature rows, decisions, and labels that depend on the decisions.

The parts of the running system do the work, without servers between them: the kernel with the reference table of each
day, the decision path, and the simulated sources. What they would archive goes to a `MemoryArchive`.
"""

from __future__ import annotations

from datetime import date

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.decide import DegradedReason, ScorableRows, decide
from cardwatch.decision.folding import FoldedTransactions, concatenate_without_repeats
from cardwatch.detector.detector import Detector
from cardwatch.features.reference_choice import TableChoice
from cardwatch.ports import Scores
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.transaction_array import Typology
from stress.memory_archive import DayDecisions, MemoryArchive
from stress.simulated_features import FeaturesOfDay, SimulatedFeatures


class ServedModel(Struct, frozen=True, kw_only=True):
    """The model that decides: its version and the digest of its files, as decisions record them."""

    version: str
    digest: str
    detector: Detector

    def score(self, rows: ScorableRows) -> Scores | DegradedReason:
        """Return the scores of these rows, without reason codes, which nobody reads here."""
        margins = self.detector.margins(rows.features)
        return Scores(
            model_version=self.version,
            model_digest=self.digest,
            margins=margins,
            probabilities=self.detector.probabilities(margins),
            reasons=[[] for _ in margins],
        )


class WorldDay(Struct, frozen=True, kw_only=True):
    """Features of one day with the truth: n records in the order of the log.

    `features`: float32 [n, features]. `duplicates` and `is_fraud`: bool [n].
    """

    day: date
    features: NDArray[np.float32]
    duplicates: NDArray[np.bool_]
    is_fraud: NDArray[np.bool_]


class StressWorld:
    """The days of one world, in order. Its `archive` holds what the archive service would hold at the end of each."""

    def __init__(self, settings: SimulationSettings, policy: DecisionPolicy, maturity_days: int) -> None:
        self._begin(SimulatedFeatures(settings, maturity_days), MemoryArchive(), [], policy)

    def _begin(
        self, features: SimulatedFeatures, archive: MemoryArchive, days: list[WorldDay], policy: DecisionPolicy
    ) -> None:
        self.features, self.archive, self.days = features, archive, days
        self._policy = policy
        self._has_labels = True

    def branch(self, settings: SimulationSettings) -> StressWorld:
        """Return an independent copy that goes on with other settings, see `Simulation.branch`."""
        twin = StressWorld.__new__(StressWorld)
        twin._begin(self.features.branch(settings), self.archive.branch(), list(self.days), self._policy)
        twin._has_labels = self._has_labels
        return twin

    def stop_labels(self) -> None:
        """Let no label arrive any more."""
        self._has_labels = False

    def run_day(self, model: ServedModel | None) -> date:
        """Simulate the next day, have `model` decide its transactions, and archive it; history has no model."""
        begun = self.features.begin_day()
        decided = None if model is None else self._decide(begun, model)
        actions = None
        if decided is not None:
            actions = np.zeros(len(begun.rows), np.int8)
            actions[decided.log_places] = [ACTIONS.index(outcome.action) for outcome in decided.outcomes]
        labels = self.features.end_day(begun, actions, is_silent=not self._has_labels)
        self.archive.add_day(begun.day, begun.transactions, decided)
        self.archive.add_labels(labels)
        self.archive.close_day(begun.day, self.features.table_id)
        self.days.append(
            WorldDay(
                day=begun.day,
                features=begun.folded.features,
                duplicates=begun.folded.duplicates,
                is_fraud=begun.truth["typology"] != Typology.GENUINE,
            )
        )
        return begun.day

    def _decide(self, begun: FeaturesOfDay, model: ServedModel) -> DayDecisions:
        """Decide each transaction once, also if its record was repeated."""
        choices = [TableChoice(begun.table, None)] * len(begun.transactions)
        distinct = concatenate_without_repeats([FoldedTransactions(begun.transactions, choices, begun.folded)])
        return DayDecisions(
            folded=distinct,
            outcomes=decide(self._policy, distinct, model.score),
            log_places=np.flatnonzero(~begun.folded.duplicates),
            table_id=begun.table.table_id,
            policy_version=self._policy.version,
        )
