"""One simulated world, trained and tested in several ways: calibrations, settings of the trees, baselines."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.typologies.recall import simulate
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.trees.margins import margins
from cardwatch.errors import Misconfigured
from cardwatch.events import Action
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.training_policy import TrainingPolicy
from cli.evaluate.replay import Report
from cli.evaluate.run import prepare
from models.baselines import fit_logistic_regression
from models.calibration import fit_calibration, fit_isotonic
from models.cross_fitting import card_folds, out_of_fold_margins
from models.evaluation import evaluate
from models.prequential import PrequentialProtocol
from models.reliability import measure_calibration
from models.search import SearchRows, search_settings
from models.training import TrainingSettings, WeightedRows, fit_trees

PROTOCOL: Final = PrequentialProtocol(train_days=42, delay_days=7, test_days=14, folds=1)
WARM_UP_DAYS: Final = 6
SETTINGS: Final = TrainingSettings()
FORMER, FOLDED_ISOTONIC, FOLDED, SEARCHED = (
    "a fifth of the cards, isotonic",
    "five folds, isotonic",
    "five folds, beta",
    "the same with searched settings",
)
BASELINE: Final = "logistic regression"


class MeasuredModel(Struct, frozen=True, kw_only=True):
    """Measures of one model on the test days. `alerts` are those that the default costs give.

    `distinct` is the number of different probabilities of alerts, `expected_to_observed` the sum of all probabilities
    over the number of frauds. `cost` is that of the decisions over that of approving everything.
    """

    average_precision: float
    log_loss: float
    brier: float
    calibration_error: float
    expected_to_observed: float
    cost: float
    alerts: int
    distinct: int


class TrainedWorld(Struct, frozen=True, kw_only=True):
    """The models of one world by name, and the settings that its search preferred and chose."""

    seed: int
    cards: int
    train_frauds: int
    test_frauds: int
    models: dict[str, MeasuredModel]
    trials: int
    best: TrainingSettings
    improvement: float
    standard_error: float
    is_chosen: bool


class _TestRows(NamedTuple):
    features: NDArray[np.float32]
    is_fraud: NDArray[np.bool_]
    amount_minor: NDArray[np.int64]
    cards: NDArray[np.int64]
    days: NDArray[np.int64]

    def measure(self, scores: NDArray[np.floating[Any]], probabilities: NDArray[np.float64]) -> MeasuredModel:
        policy, channels = DecisionPolicy(), channels_of(self.features)
        actions = policy.decide(probabilities, self.amount_minor.astype(np.float64), channels)
        found = evaluate(
            scores,
            self.is_fraud,
            amount_minor=self.amount_minor,
            card_ids=self.cards,
            days=self.days,
            channels=channels,
            actions=actions,
        )
        quality = measure_calibration(probabilities, self.is_fraud)
        is_alert = np.array([action is not Action.APPROVE for action in actions])
        return MeasuredModel(
            average_precision=found.average_precision or 0.0,
            log_loss=quality.log_loss,
            brier=quality.brier,
            calibration_error=quality.expected_calibration_error,
            expected_to_observed=quality.expected_to_observed,
            cost=found.expected_cost or 0.0,
            alerts=int(is_alert.sum()),
            distinct=len(np.unique(probabilities[is_alert])),
        )


def measure_world(seed: int, cards: int, policy: TrainingPolicy, report: Report) -> TrainedWorld:
    """Simulate a world, train the models on its training days and test them on its test days, with the true labels."""
    dataset, _ = simulate(SimulationSettings(seed=seed, cards=cards), WARM_UP_DAYS + PROTOCOL.all_days, report)
    experiment = prepare(dataset, PROTOCOL, report)
    [chosen] = experiment.folds
    rows = WeightedRows(features=experiment.features.at(chosen.train), is_fraud=chosen.known_fraud)
    tested = chosen.test.rows
    test = _TestRows(
        experiment.features.at(tested),
        dataset.is_fraud[tested],
        dataset.columns["amount"][tested],
        dataset.cards[tested],
        dataset.days[tested],
    )
    fold = card_folds([str(card) for card in dataset.cards[chosen.train]], policy.calibration_folds)
    report("search")
    window = SearchRows(rows, dataset.days[chosen.train], dataset.cards[chosen.train])
    search = search_settings(window, SETTINGS, policy)
    if search is None:
        raise Misconfigured(f"world {seed} has nothing to search on")
    best = min(search.trials, key=lambda trial: trial.log_loss)
    models = _calibrated(rows, fold, test, report)
    report("searched settings")
    held_out = out_of_fold_margins(rows, fold, best.settings)
    models[SEARCHED] = _tested(rows, best.settings, fit_calibration(held_out, rows.is_fraud), test)
    log_odds = fit_logistic_regression(rows.features, rows.is_fraud).logits(test.features)
    models[BASELINE] = test.measure(log_odds, 1.0 / (1.0 + np.exp(-log_odds)))
    return TrainedWorld(
        seed=seed,
        cards=cards,
        train_frauds=int(rows.is_fraud.sum()),
        test_frauds=int(test.is_fraud.sum()),
        models=models,
        trials=policy.trials,
        best=best.settings,
        improvement=best.improvement,
        standard_error=best.standard_error,
        is_chosen=search.chosen == best.settings,
    )


def _calibrated(
    rows: WeightedRows, fold: NDArray[np.int64], test: _TestRows, report: Report
) -> dict[str, MeasuredModel]:
    report("former calibration")
    _, trees = fit_trees(rows.at(fold != 0), SETTINGS)
    held_out = fold == 0
    former = fit_isotonic(margins(trees, rows.features[held_out]), rows.is_fraud[held_out])
    former_margins = margins(trees, test.features)
    report("trees")
    _, trees = fit_trees(rows, SETTINGS)
    scores = margins(trees, test.features)
    report("folds")
    out_of_fold = out_of_fold_margins(rows, fold, SETTINGS)
    fitted = {
        FOLDED_ISOTONIC: fit_isotonic(out_of_fold, rows.is_fraud),
        FOLDED: fit_calibration(out_of_fold, rows.is_fraud),
    }
    return {
        FORMER: test.measure(former_margins, former.apply(former_margins)),
        **{name: test.measure(scores, calibration.apply(scores)) for name, calibration in fitted.items()},
    }


def _tested(rows: WeightedRows, settings: TrainingSettings, calibration: Calibration, test: _TestRows) -> MeasuredModel:
    _, trees = fit_trees(rows, settings)
    scores = margins(trees, test.features)
    return test.measure(scores, calibration.apply(scores))
