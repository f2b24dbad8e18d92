"""Search for the settings of the trees: seeded, bounded by a number of trials, validated on later days.

Optuna's tree-structured Parzen estimator (Bergstra and others 2011) proposes settings. The default settings are the
first trial, and they stay unless the best trial is better by more than the standard error of the difference: among many
trials the best is partly the luckiest (the one-standard-error rule of Breiman and others 1984).
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import xgboost
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.training_policy import TrainingPolicy
from models.training import TrainingSettings, WeightedRows

log = logging.getLogger(__name__)


class Trial(Struct, frozen=True, kw_only=True):
    """Tried settings with the number of trees after which the validation was best, and how good they were.

    `log_loss` is the mean over the validation rows in nats; lower is better. `improvement` is by how much it is lower
    than that of the default settings, and `standard_error` that of this difference for other cards.
    """

    settings: TrainingSettings
    log_loss: float
    improvement: float
    standard_error: float


class Search(Struct, frozen=True, kw_only=True):
    """The settings that were chosen, and all trials in their order, the default settings first."""

    chosen: TrainingSettings
    trials: list[Trial]
    train_rows: int
    train_frauds: int
    validation_rows: int
    validation_frauds: int


class SearchRows(NamedTuple):
    """The n rows of the training window, their days since 1970, int64 [n], and any ids of their cards, [n]."""

    rows: WeightedRows
    days: NDArray[np.int64]
    card_ids: NDArray[np.object_] | NDArray[np.int64]


def search_settings(data: SearchRows, defaults: TrainingSettings, policy: TrainingPolicy) -> Search | None:
    """Return the result of `policy.trials` trials, or None where there is nothing to search.

    That is so without trials, and if one of the two periods has no fraud or no genuine row. The same arguments give the
    same result.
    """
    if not policy.trials:
        return None
    last = int(data.days.max())
    validated = np.flatnonzero(data.days > last - policy.validation_days)
    earlier = np.flatnonzero(data.days <= last - policy.validation_days - policy.gap_days)
    train, validation = data.rows.at(earlier).thinned(policy.genuine_rows), data.rows.at(validated)
    for rows, name in ((train, "train on"), (validation, "validate on")):
        if not 0 < int(rows.is_fraud.sum()) < len(rows):
            log.warning("no settings are searched: the days to %s have no fraud or nothing else", name)
            return None
    trials = _run_trials(_Objective(train, validation, data.card_ids[validated], defaults, policy), policy)
    search = Search(
        chosen=choose(trials),
        trials=trials,
        train_rows=len(train),
        train_frauds=int(train.is_fraud.sum()),
        validation_rows=len(validation),
        validation_frauds=int(validation.is_fraud.sum()),
    )
    log.info("tried %d settings, chose %s", len(trials), search.chosen)
    return search


def choose(trials: list[Trial]) -> TrainingSettings:
    """Return the settings of the best trial if it is better than the first by more than the error, else the first's."""
    best = min(trials, key=lambda trial: trial.log_loss)
    return best.settings if best.improvement > best.standard_error else trials[0].settings


class _Objective:
    """Trains trees with proposed settings, and measures them on the validation rows against the default settings."""

    def __init__(
        self,
        train: WeightedRows,
        validation: WeightedRows,
        card_ids: NDArray[np.object_] | NDArray[np.int64],
        defaults: TrainingSettings,
        policy: TrainingPolicy,
    ) -> None:
        self._policy = policy
        self._is_fraud = validation.is_fraud
        self._weight = np.ones(len(validation)) if validation.weight is None else validation.weight.astype(np.float64)
        self._cards = np.unique(card_ids, return_inverse=True)[1]
        bins = {"max_bin": defaults.max_bin, "nthread": defaults.threads}
        self._train = xgboost.QuantileDMatrix(train.features, train.is_fraud, weight=train.weight, **bins)
        self._validation = xgboost.QuantileDMatrix(
            validation.features, validation.is_fraud, weight=validation.weight, ref=self._train, **bins
        )
        self.defaults = structs.replace(
            defaults,
            trees=min(defaults.trees, policy.maximum_trees),
            depth=min(defaults.depth, policy.maximum_depth),
        )
        self._losses_of_defaults = self._losses(self._fit(self.defaults, None), self.defaults.trees)

    def of_defaults(self) -> Trial:
        """Return the trial of the default settings with their number of trees."""
        return self._trial(self.defaults, self._losses_of_defaults)

    def __call__(self, settings: TrainingSettings) -> Trial:
        """Train with these settings until the validation no longer improves, and return the trial."""
        settings = structs.replace(settings, trees=self._policy.maximum_trees)
        booster = self._fit(settings, self._policy.early_stopping_trees)
        trees = booster.best_iteration + 1
        return self._trial(structs.replace(settings, trees=trees), self._losses(booster, trees))

    def _fit(self, settings: TrainingSettings, early_stopping_trees: int | None) -> xgboost.Booster:
        return xgboost.train(
            settings.to_xgboost() | {"eval_metric": "logloss"},
            self._train,
            num_boost_round=settings.trees,
            evals=[(self._validation, "validation")],
            early_stopping_rounds=early_stopping_trees,
            verbose_eval=False,
        )

    def _losses(self, booster: xgboost.Booster, trees: int) -> NDArray[np.float64]:
        margins = booster.predict(self._validation, output_margin=True, iteration_range=(0, trees)).astype(np.float64)
        losses: NDArray[np.float64] = self._weight * np.logaddexp(0.0, np.where(self._is_fraud, -margins, margins))
        return losses

    def _trial(self, settings: TrainingSettings, losses: NDArray[np.float64]) -> Trial:
        better, total = self._losses_of_defaults - losses, float(self._weight.sum())
        of_card = np.bincount(self._cards, better)
        error = np.sqrt(len(of_card) * np.var(of_card, ddof=1)) / total if len(of_card) > 1 else np.inf
        return Trial(
            settings=settings,
            log_loss=float(losses.sum() / total),
            improvement=float(better.sum() / total),
            standard_error=float(error),
        )


def _run_trials(objective: _Objective, policy: TrainingPolicy) -> list[Trial]:
    import optuna  # noqa: PLC0415 (takes a third of a second, and only a search needs it)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=policy.seed))
    defaults, trials = objective.defaults, [objective.of_defaults()]
    study.enqueue_trial(
        {name: getattr(defaults, name) for name in ("depth", "learning_rate", "min_child_weight", "features_per_tree")}
    )
    for _ in range(policy.trials):
        asked = study.ask()
        settings = structs.replace(
            defaults,
            depth=asked.suggest_int("depth", 2, policy.maximum_depth),
            learning_rate=asked.suggest_float("learning_rate", 0.02, 0.3, log=True),
            min_child_weight=asked.suggest_float("min_child_weight", 0.3, 30.0, log=True),
            features_per_tree=asked.suggest_float("features_per_tree", 0.2, 1.0),
        )
        trials.append(objective(settings))
        study.tell(asked, trials[-1].log_loss)
    return trials
