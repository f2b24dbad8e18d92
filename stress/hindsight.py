"""The model that could have been trained if every outcome were known at once: what a loop can regain at best."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from cardwatch.detector.detector import Detector
from cardwatch.events import EPOCH
from cardwatch.training_policy import TrainingPolicy
from models.cross_fitting import card_folds, fit_cross_fitted
from models.training import WeightedRows
from pipelines.steps.fitting import SETTINGS
from pipelines.steps.training_set import TRAIN_DAYS
from stress.training import replayed_log
from stress.world import StressWorld


def train_in_hindsight(world: StressWorld, until: date, policy: TrainingPolicy) -> Detector:
    """Train on the true outcomes of the `TRAIN_DAYS` days before `until`, with the settings of every training."""
    history = replayed_log(world)
    rows = np.flatnonzero(history.rows_between(max(until - timedelta(days=TRAIN_DAYS), EPOCH.date()), until))
    is_fraud = np.concatenate([day.is_fraud for day in world.days])[rows]
    cards = np.array(history.transactions["card_id"].to_pylist(), np.object_)[rows]
    weighted = WeightedRows(features=history.features[rows], is_fraud=is_fraud, weight=np.ones(len(rows), np.float32))
    fold = card_folds(cards, policy.calibration_folds)
    return fit_cross_fitted(weighted, fold, SETTINGS, policy.genuine_rows).fitted.detector
