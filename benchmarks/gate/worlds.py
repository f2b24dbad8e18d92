"""Worlds whose judged rows are scored beforehand by several models: trials of the gate then take milliseconds.

A world is calm until its change, which is that of the demo. Several models are trained on the same calm days, with the
same settings and other seeds; they are equal in expectation. One more model is trained with days after the change:

    warm-up | train ............... | 5 days | calm judged days | change: train 7 days | changed judged days
            |-- equal models -------|
                                    |-- retrained model ------------------------------|
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from benchmarks.typologies.recall import simulate
from cardwatch.detector.detector import Detector
from cardwatch.events import Channel
from cardwatch.features.definitions import column
from cardwatch.simulation.settings import SimulationSettings
from cli.evaluate.replay import FeatureRows, feature_rows
from models.training import TrainingSettings, fit_detector

WARM_UP_DAYS: Final = 6
GAP_DAYS: Final = 5
NEW_TRAINING_DAYS: Final = 7
HELD_OUT: Final = 5
"""One training card in this many calibrates the probabilities. Retraining is cross-fitted, which takes much longer."""
CHANNELS: Final = tuple(f"is_{channel.value}" for channel in Channel)
"""The features that say the channel, in the order of the policy's channels."""


class WorldPlan(Struct, frozen=True, kw_only=True):
    """Size of a world and its periods in days; `models` are trained on the same calm days."""

    cards: int
    train_days: int
    calm_days: int
    changed_days: int
    models: int

    @property
    def calm_from(self) -> int:
        """The first calm judged day."""
        return WARM_UP_DAYS + self.train_days + GAP_DAYS

    @property
    def change_day(self) -> int:
        """The first day after the change."""
        return self.calm_from + self.calm_days

    @property
    def changed_from(self) -> int:
        """The first judged day after the change."""
        return self.change_day + NEW_TRAINING_DAYS

    @property
    def days(self) -> int:
        """Length of the world."""
        return self.changed_from + self.changed_days


class ScoredWorld(Struct, frozen=True, kw_only=True):
    """The n judged rows of a world. `days` count from the first day of the world; `cards` are places among all cards.

    `probabilities` is float64 [models, n], the retrained model last. `channels`: places in `CHANNELS`.
    """

    days: NDArray[np.int64]
    cards: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    channels: NDArray[np.int64]
    merchant_category: NDArray[np.float32]
    history_length: NDArray[np.float32]
    probabilities: NDArray[np.float64]

    def save(self, path: Path) -> None:
        """Write the arrays to `path`, compressed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **structs.asdict(self))
        partial.rename(path)

    @classmethod
    def load(cls, path: Path) -> ScoredWorld:
        """The inverse of `save`."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})


def score_world(plan: WorldPlan, seed: int) -> ScoredWorld:
    """Simulate a world, train its models and score its judged rows."""
    settings = SimulationSettings(seed=seed, cards=plan.cards, change_day=plan.change_day)
    dataset, _ = simulate(settings, plan.days, _silent)
    first = int(dataset.days[0])
    days = dataset.days - first
    rows = feature_rows(dataset, first_day=first + WARM_UP_DAYS, until_day=first + plan.days, report=_silent)
    calm = np.flatnonzero((days >= plan.calm_from) & (days < plan.change_day))
    judged = np.append(calm, np.flatnonzero(days >= plan.changed_from))
    calm_training = np.flatnonzero((days >= WARM_UP_DAYS) & (days < WARM_UP_DAYS + plan.train_days))
    new_training = np.flatnonzero((days >= plan.changed_from - plan.train_days) & (days < plan.changed_from))
    trainings = [(calm_training, model + 1) for model in range(plan.models)] + [(new_training, 1)]
    features = rows.at(judged)
    probabilities = []
    for chosen, model_seed in trainings:
        detector = _fit(rows, chosen, dataset.cards[chosen], dataset.is_fraud[chosen], model_seed)
        probabilities.append(detector.probabilities(detector.margins(features)))
    return ScoredWorld(
        days=days[judged],
        cards=dataset.cards[judged],
        amount_minor=dataset.kernel["amount_minor"][judged].astype(np.int64),
        is_fraud=dataset.is_fraud[judged],
        channels=np.argmax(features[:, [column(name) for name in CHANNELS]], axis=1),
        merchant_category=features[:, column("merchant_category")],
        history_length=features[:, column("history_length")],
        probabilities=np.stack(probabilities),
    )


def _fit(
    rows: FeatureRows, chosen: NDArray[np.int64], cards: NDArray[np.int64], is_fraud: NDArray[np.bool_], seed: int
) -> Detector:
    held_out = cards % HELD_OUT == 0
    return fit_detector(
        rows.at(chosen[~held_out]),
        is_fraud[~held_out],
        calibration_features=rows.at(chosen[held_out]),
        calibration_is_fraud=is_fraud[held_out],
        settings=TrainingSettings(seed=seed),
    ).detector


def _silent(_progress: str) -> None:
    """Worlds are many and short: their steps are not reported."""
