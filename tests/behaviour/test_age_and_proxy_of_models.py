"""What an old model loses, and whether average precision before a deployment ranks models as their costs after it.

One simulated world with the demo's change. Models are judged as before a deployment: on days that they were not trained
on, with the labels that are known by then. Costs come from the truth of later days, which no real bank has.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from benchmarks.selective_labels.decided_days import DecidedDay, PolicyWorld
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of, incurred_cost_minor
from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import FEATURES
from cardwatch.simulation.settings import SimulationSettings
from models.training import TrainingSettings, fit_detector

CHANGE_DAY, DAYS, WEEK, TRAINING_DAYS = 35, 70, 7, 21
JUDGED: Final = slice(DAYS - 2 * WEEK, DAYS - WEEK)
LIVE: Final = slice(DAYS - WEEK, DAYS)
LEFT_OUT: Final = (
    (),
    ("device",),
    ("device", "novelty", "segment"),
    ("device", "novelty", "segment", "merchant", "amount"),
    ("device", "novelty", "segment", "merchant", "amount", "velocity", "channel velocity", "exposure"),
)
"""Families of features that ever weaker models do not see."""


class Model(NamedTuple):
    """A detector and the columns that it does not see."""

    detector: Detector
    hidden: NDArray[np.bool_]

    def margins(self, days: list[DecidedDay]) -> NDArray[np.float32]:
        return self.detector.margins(seen(days, self.hidden))


def seen(days: list[DecidedDay], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    features = np.concatenate([day.features for day in days])
    features[:, hidden] = np.nan
    return features


def trained(world: list[DecidedDay], until: int, left_out: tuple[str, ...] = ()) -> Model:
    """A model of the three weeks before the day `until`, trained a week later with the labels that are known then."""
    days = world[until - TRAINING_DAYS : until]
    hidden = np.array([feature.family in left_out for feature in FEATURES])
    features, is_fraud = seen(days, hidden), known_frauds(days, world[: until + WEEK])
    held_out = np.arange(len(features)) % 5 == 0
    fitted = fit_detector(
        features[~held_out],
        is_fraud[~held_out],
        calibration_features=features[held_out],
        calibration_is_fraud=is_fraud[held_out],
        settings=TrainingSettings(trees=80, threads=1),
    )
    return Model(fitted.detector, hidden)


def known_frauds(days: list[DecidedDay], observed: list[DecidedDay]) -> NDArray[np.bool_]:
    frauds = {label.transaction_id for day in observed for label in day.labels if label.is_fraud}
    return np.array([name in frauds for day in days for name in day.transaction_ids])


def average_precision(model: Model, days: list[DecidedDay]) -> float:
    return float(average_precision_score(np.concatenate([day.is_fraud for day in days]), model.margins(days)))


@pytest.fixture(scope="module")
def world() -> list[DecidedDay]:
    running = PolicyWorld(SimulationSettings(seed=12, cards=2_000, change_day=CHANGE_DAY), DecisionPolicy())
    return [running.run_day() for _ in range(DAYS)]


@pytest.mark.rubric("model-4")
def test_a_model_from_before_the_change_has_lost_what_a_younger_one_has(world: list[DecidedDay]) -> None:
    old, young = trained(world, until=CHANGE_DAY - WEEK), trained(world, until=DAYS - 2 * WEEK)
    before = average_precision(old, world[CHANGE_DAY - WEEK : CHANGE_DAY])
    assert average_precision(old, world[LIVE]) < 0.8 * before
    assert average_precision(young, world[LIVE]) > 0.8 * before


@pytest.mark.rubric("model-2")
def test_average_precision_on_known_labels_ranks_weakened_models_as_their_true_costs_do(
    world: list[DecidedDay],
) -> None:
    policy = DecisionPolicy()
    live = world[LIVE]
    amounts = np.concatenate([day.amount_minor for day in live]).astype(np.float64)
    is_fraud = np.concatenate([day.is_fraud for day in live])
    channels = channels_of(np.concatenate([day.features for day in live]))
    known = known_frauds(world[JUDGED], world)
    precisions, costs = [], []
    for left_out in LEFT_OUT:
        model = trained(world, DAYS - 2 * WEEK, left_out)
        precisions.append(average_precision_score(known, model.margins(world[JUDGED])))
        actions = policy.decide(model.detector.probabilities(model.margins(live)), amounts, channels)
        costs.append(incurred_cost_minor(policy, actions, is_fraud, amounts, channels))
    # -1 is the same order; two neighbours that changed places would give -0.9.
    assert spearmanr(precisions, costs).statistic < -0.85
