"""The evaluation itself: train, score and test by the protocol, fold after fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.detector import Detector
from cardwatch.errors import Misconfigured
from cli.evaluate.dataset import Dataset
from cli.evaluate.replay import FeatureRows, Report, feature_rows
from cli.evaluate.scored_fold import ChosenRows, ModelScores, ScoredFold, foreign_scores
from models.evaluation import CARDS_A_DAY, Evaluation, card_precision, evaluate
from models.prequential import (
    Fold,
    FoldTestRows,
    PrequentialProtocol,
    known_from_day,
    make_folds,
    select_test_rows,
    select_training_rows,
    to_date,
)
from models.training import TrainingSettings, fit_detector

HELD_OUT: Final = 5
"""One training card in this many is held out to calibrate the probabilities."""

# A second thread gains nothing here, and on a busy machine costs ten times the work in waiting for the first.
SETTINGS: Final = TrainingSettings(threads=1)

LabelledRows = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Feature rows, float32 [n, features], and which of them are fraud, bool [n]."""


Metrics = dict[str, int | float | None]
"""The fields of an `Evaluation`, with the k of card precision in its name."""


class Period(Struct, frozen=True, kw_only=True):
    """Days, both inclusive, and what they hold."""

    first_day: date
    last_day: date
    rows: int
    frauds: int


class FoldResult(Struct, frozen=True, kw_only=True):
    """Results of a fold. `train.frauds` counts frauds known when the test began; `test` excludes compromised cards.

    `censored_rows`: test rows whose outcome nobody knows. They are neither in `test` nor in the metrics.
    """

    fold: int
    train: Period
    test: Period
    removed_rows: int
    removed_cards: int
    censored_rows: int
    metrics: Metrics


class Summary(Struct, frozen=True, kw_only=True):
    """Mean and sample standard deviation over the folds that have the number; None where none or only one has it."""

    mean: dict[str, float | None]
    std: dict[str, float | None]


class Experiment(Struct, frozen=True, kw_only=True):
    """Data and the rows of all folds, with features that were computed once, and what the tests are measured by.

    `cards_a_day` is the k of card precision.
    """

    dataset: Dataset
    features: FeatureRows
    folds: list[ChosenRows]
    policy: DecisionPolicy
    cards_a_day: int


def prepare(
    dataset: Dataset,
    protocol: PrequentialProtocol,
    report: Report,
    *,
    policy: DecisionPolicy | None = None,
    cards_a_day: int = CARDS_A_DAY,
) -> Experiment:
    """Compute what every fold needs. Raises `Misconfigured` if the data has too few days for the protocol."""
    folds = make_folds(protocol, first_day=int(dataset.days[0]), last_day=int(dataset.days[-1]))
    known_from = known_from_day(dataset.observed_at_ms)
    chosen = [_choose_rows(fold, dataset, known_from) for fold in folds]
    features = feature_rows(
        dataset,
        first_day=folds[0].train_from,
        until_day=folds[-1].test_until,
        report=report,
        maturity_days=protocol.delay_days,
    )
    return Experiment(
        dataset=dataset,
        features=features,
        folds=chosen,
        policy=policy or DecisionPolicy(),
        cards_a_day=cards_a_day,
    )


def score_folds(experiment: Experiment, report: Report, score_columns: Sequence[str] = ()) -> Iterator[ScoredFold]:
    """Train every fold and score its test rows, by the detector and by each of `score_columns`."""
    for chosen in experiment.folds:
        report(f"fold {chosen.fold.number} of {len(experiment.folds)}")
        margins = _margins(experiment.features, chosen)
        probabilities = _calibration(experiment, chosen).apply(margins)
        yield ScoredFold(
            rows=chosen,
            ours=ModelScores(values=margins, probabilities=probabilities),
            theirs={name: foreign_scores(experiment.dataset, chosen, name) for name in score_columns},
        )


def measure_fold(experiment: Experiment, scored: ScoredFold) -> FoldResult:
    """Measure the detector's scores of a fold.

    All training rows grow the trees that are tested; see `_calibration` for their probabilities.
    """
    fold, dataset, chosen = scored.rows.fold, experiment.dataset, scored.rows
    return FoldResult(
        fold=fold.number,
        train=_period(fold.train_from, fold.train_until, chosen.known_fraud),
        test=_period(fold.test_from, fold.test_until, dataset.is_fraud[chosen.test.rows]),
        removed_rows=chosen.test.removed_rows,
        removed_cards=chosen.test.removed_cards,
        censored_rows=chosen.test.censored_rows,
        metrics=measure(experiment, chosen, scored.ours),
    )


def measure(experiment: Experiment, chosen: ChosenRows, scores: ModelScores) -> Metrics:
    """Measure these scores of the test rows of a fold."""
    evaluation = _judge(experiment, chosen, scores.values, scores.probabilities)
    metrics: Metrics = structs.asdict(evaluation)
    if experiment.cards_a_day == CARDS_A_DAY:
        return metrics
    dataset, rows = experiment.dataset, chosen.test.rows
    share = card_precision(
        scores.values,
        dataset.is_fraud[rows],
        dataset.cards[rows],
        dataset.days[rows],
        cards_a_day=experiment.cards_a_day,
    )
    names = {"card_precision_at_100": card_precision_name(experiment.cards_a_day)}
    metrics["card_precision_at_100"] = share
    return {names.get(name, name): value for name, value in metrics.items()}


def card_precision_name(cards_a_day: int) -> str:
    """The name of the card precision at that many cards a day."""
    return f"card_precision_at_{cards_a_day}"


def judge_without(experiment: Experiment, chosen: ChosenRows, left_out: tuple[int, ...]) -> Evaluation:
    """Train and test the same fold without these features (positions in a row).

    Only what the order of scores gives: without probabilities there is no `expected_cost`.
    """
    return _judge(experiment, chosen, _margins(experiment.features, chosen, left_out))


def summarise(results: Sequence[Mapping[str, float | None]]) -> Summary:
    """The average over all folds."""
    mean: dict[str, float | None] = {}
    std: dict[str, float | None] = {}
    for name in results[0]:
        values = [value for result in results if (value := result[name]) is not None]
        mean[name] = float(np.mean(values)) if values else None
        std[name] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(mean=mean, std=std)


def _choose_rows(fold: Fold, dataset: Dataset, known_from: NDArray[np.int64]) -> ChosenRows:
    train, known_fraud = select_training_rows(fold, dataset.days, dataset.is_fraud, known_from)
    is_known = ~dataset.censored[train]
    train, known_fraud = train[is_known], known_fraud[is_known]
    test = select_test_rows(fold, dataset.days, dataset.is_fraud, known_from, dataset.cards)
    is_censored = dataset.censored[test.rows]
    test = structs.replace(test, rows=test.rows[~is_censored], censored_rows=int(is_censored.sum()))
    _check_fold(fold, known_fraud, test)
    return ChosenRows(fold=fold, train=train, known_fraud=known_fraud, test=test)


def _judge(
    experiment: Experiment,
    chosen: ChosenRows,
    scores: NDArray[np.floating[Any]],
    probabilities: NDArray[np.float64] | None = None,
) -> Evaluation:
    dataset, rows = experiment.dataset, chosen.test.rows
    return evaluate(
        scores,
        dataset.is_fraud[rows],
        amount_minor=dataset.columns["amount"][rows],
        card_ids=dataset.cards[rows],
        days=dataset.days[rows],
        probabilities=probabilities,
        channels=dataset.kernel["channel"][rows].astype(np.int64),
        policy=experiment.policy,
    )


def _check_fold(fold: Fold, known_fraud: NDArray[np.bool_], test: FoldTestRows) -> None:
    where = f"fold {fold.number}"
    training = f"{to_date(fold.train_from)} to {to_date(fold.train_until - 1)}"
    if not known_fraud.any() or known_fraud.all():
        raise Misconfigured(
            f"{where}: cannot train on {training}: of {len(known_fraud)} transactions, {int(known_fraud.sum())} are"
            " known to be fraud, and both kinds are needed. Check label.is_fraud, or train on more days."
        )
    if not len(test.rows):
        testing = f"{to_date(fold.test_from)} to {to_date(fold.test_until - 1)}"
        raise Misconfigured(
            f"{where}: no transaction is left to test on from {testing}:"
            f" {test.removed_rows} were of cards known to be compromised"
        )


def _margins(features: FeatureRows, chosen: ChosenRows, left_out: tuple[int, ...] = ()) -> NDArray[np.float32]:
    train = features.at(chosen.train, left_out), chosen.known_fraud
    detector = _fit(train, train)  # margins know no calibration
    return detector.margins(features.at(chosen.test.rows, left_out))


def _calibration(experiment: Experiment, chosen: ChosenRows) -> Calibration:
    """Learned from trees of the same settings that have not seen a fifth of the cards.

    What they say about that fifth is honest, and no row is lost for the margins.
    """
    features, is_fraud = experiment.features.at(chosen.train), chosen.known_fraud
    cards = experiment.dataset.cards[chosen.train]
    held_out = np.isin(cards, _held_out_cards(cards, is_fraud))
    detector = _fit((features[~held_out], is_fraud[~held_out]), (features[held_out], is_fraud[held_out]))
    return detector.facts.calibration


def _fit(train: LabelledRows, calibration: LabelledRows) -> Detector:
    features, is_fraud = calibration
    fitted = fit_detector(*train, calibration_features=features, calibration_is_fraud=is_fraud, settings=SETTINGS)
    return fitted.detector


def _held_out_cards(cards: NDArray[np.int64], is_fraud: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A fifth of the cards with fraud and a fifth of the others, so that neither part lacks either for long."""
    defrauded = np.unique(cards[is_fraud])
    others = np.setdiff1d(cards, defrauded)
    return np.concatenate([defrauded[HELD_OUT - 1 :: HELD_OUT], others[HELD_OUT - 1 :: HELD_OUT]])


def _period(first: int, until: int, is_fraud: NDArray[np.bool_]) -> Period:
    return Period(
        first_day=to_date(first),
        last_day=to_date(until - 1),
        rows=len(is_fraud),
        frauds=int(is_fraud.sum()),
    )
