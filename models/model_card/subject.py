"""What a model card is about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.detector.detector import DetectorFacts
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from cardwatch.label_states import LabelCoverage
from cardwatch.promotion.evidence import Evidence, JudgedInputs
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.slices import UNKNOWN, slices_of
from cardwatch.promotion.verdict import VerdictReport
from cardwatch.training_policy import TrainingPolicy
from models.evaluation import Evaluation


class TrainingPopulation(Struct, frozen=True, kw_only=True):
    """The rows that a model was trained on: their cards, the days that have rows, and the frauds by division and slice.

    `slice_frauds` has every slice that has rows, also those without fraud.
    """

    rows: int
    frauds: int
    cards: int
    days: int
    slice_frauds: dict[str, dict[str, int]]

    @classmethod
    def of(
        cls, features: NDArray[np.float32], is_fraud: NDArray[np.bool_], card_ids: ArrayLike, days: NDArray[np.int64]
    ) -> TrainingPopulation:
        """Describe n rows. `features` is float32 [n, features], everything else [n]."""
        return cls(
            rows=len(is_fraud),
            frauds=int(is_fraud.sum()),
            cards=len(np.unique(np.asarray(card_ids))),
            days=len(np.unique(days)),
            slice_frauds={
                division: {
                    name: int((is_fraud & (names == name)).sum()) for name in sorted(set(names.tolist()) - {UNKNOWN})
                }
                for division, names in slices_of(features).items()
            },
        )


class CardPolicies(Struct, frozen=True, kw_only=True):
    """The policies under which a model was trained, judged and will be watched, and who owns it, None if not named."""

    decision: DecisionPolicy
    promotion: PromotionPolicy
    drift: DriftPolicy
    training: TrainingPolicy
    owner: str | None


class CardSubject(Struct, frozen=True, kw_only=True):
    """A judged model.

    `evidence`, `inputs` and `report` are those of its verdict. `challenger` is its evaluation on the judged rows,
    `champion` that of the model before it, None if there was none to compare with, and `baselines` those of simpler
    models, by name. `label_coverage` counts the transactions of both windows, `measurable` is what monitoring can
    measure of the performance, `missed` counts the judged frauds that the model approves. `because` are the reasons of
    the training, `flow_run` the run that did it. `half_life_days` is that of the weights of training rows.
    """

    digest: str
    facts: DetectorFacts
    population: TrainingPopulation
    evidence: Evidence
    inputs: JudgedInputs
    report: VerdictReport
    challenger: Evaluation
    champion: Evaluation | None
    baselines: Mapping[str, Evaluation]
    label_coverage: LabelCoverage
    measurable: MeasuredPerformance | None
    missed: MissedFrauds | None
    policies: CardPolicies
    because: list[str]
    flow_run: str
    verdict_digest: str
    half_life_days: float | None = None

    @property
    def excluded_training_days(self) -> list[date]:
        """The quarantined days of the training window, in order."""
        first, until = self.inputs.trained_from, self.inputs.trained_until
        return sorted(day for day in self.inputs.excluded_days if first <= day < until)


def weighted_costs(subject: CardSubject, actions: NDArray[np.int8]) -> NDArray[Any]:
    """Return what these actions on the judged rows cost in minor units, with the rows' weights, float64 [n]."""
    return subject.evidence.costs_minor(subject.policies.decision, actions) * subject.evidence.weight
