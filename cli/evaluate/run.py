"""The evaluation itself: feature rows by the one kernel, then train and test by the protocol, fold after fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.errors import Misconfigured
from cardwatch.events import from_epoch_ms
from cardwatch.features.kernel import fold
from cardwatch.features.reference import ReferenceBuilder
from cardwatch.features.state import empty_states
from cardwatch.features.table import FEATURES
from cli.evaluate.dataset import Dataset
from models.detector import Detector, TrainingSettings
from models.evaluation import Evaluation, evaluate
from models.protocol import (
    Fold,
    Protocol,
    RowsToTestOn,
    known_from_day,
    lay_folds,
    rows_to_test_on,
    rows_to_train_on,
    to_date,
)

HELD_OUT: Final = 5
"""One in so many training cards calibrates the probabilities."""

# A second thread gains nothing here, and on a busy machine costs ten times the work in waiting for the first.
SETTINGS: Final = TrainingSettings(threads=1)

Report = Callable[[str], object]
"""Told in a few words what is being done."""


class Period(Struct, frozen=True, kw_only=True):
    """Days, both inclusive, and what they hold."""

    first_day: date
    last_day: date
    rows: int
    frauds: int


class FoldResult(Struct, frozen=True, kw_only=True):
    """One fold. `train.frauds` counts what was known when the test began; `test` is without the compromised cards."""

    fold: int
    train: Period
    test: Period
    removed_rows: int
    removed_cards: int
    metrics: Evaluation


class Summary(Struct, frozen=True, kw_only=True):
    """Mean and sample standard deviation over the folds that have the number; None where none or only one has it."""

    mean: dict[str, float | None]
    std: dict[str, float | None]


def run_folds(dataset: Dataset, protocol: Protocol, report: Report) -> Iterator[FoldResult]:
    """Train and test every fold of `protocol`. Raises `Misconfigured` if the data does not give what it asks for."""
    folds = lay_folds(protocol, first_day=int(dataset.days[0]), last_day=int(dataset.days[-1]))
    known_from = known_from_day(dataset.observed_at_ms)
    features, offset = _features(dataset, folds, report)
    for fold_ in folds:
        report(f"fold {fold_.number} of {len(folds)}")
        yield _run_fold(fold_, dataset, known_from, features, offset)


def summarise(results: list[FoldResult]) -> Summary:
    """The average over all folds."""
    mean: dict[str, float | None] = {}
    std: dict[str, float | None] = {}
    for name in Evaluation.__struct_fields__:
        values = [value for result in results if (value := getattr(result.metrics, name)) is not None]
        mean[name] = float(np.mean(values)) if values else None
        std[name] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(mean=mean, std=std)


def _features(dataset: Dataset, folds: list[Fold], report: Report) -> tuple[NDArray[np.float32], int]:
    """Feature rows of the days that the folds need, and the position of the first of them in the data.

    The days before them only warm the states. Day after day, as the archive does it: the day's table rests on
    the transactions before the day and the frauds known when it begins.
    """
    first, last = np.searchsorted(dataset.days, [folds[0].train_from, folds[-1].test_until])
    features = np.empty((last - first, len(FEATURES)), np.float32)
    states, tables = empty_states(dataset.card_count), ReferenceBuilder()
    for rows in _day_slices(dataset.days[:last]):
        day = to_date(int(dataset.days[rows.start]))
        report(f"features of {day}")
        columns = dataset.kernel_columns(rows)
        folded = fold(states, dataset.cards[rows], columns, tables.build(day))
        tables.add_transactions(columns["merchant_hash"], columns["occurred_at_ms"])
        _add_frauds(tables, dataset, rows, columns)
        if rows.start >= first:
            features[rows.start - first : rows.stop - first] = folded.features
    return features, int(first)


def _add_frauds(tables: ReferenceBuilder, dataset: Dataset, rows: slice, columns: NDArray[np.void]) -> None:
    for at in np.flatnonzero(dataset.is_fraud[rows]).tolist():
        row = rows.start + at
        tables.add_fraud(
            str(row),
            int(columns["merchant_hash"][at]),
            effective_at=from_epoch_ms(int(columns["occurred_at_ms"][at])),
            observed_at=from_epoch_ms(int(dataset.observed_at_ms[row])),
        )


def _day_slices(days: NDArray[np.int64]) -> Iterator[slice]:
    bounds = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    return (slice(start, stop) for start, stop in pairwise(bounds))


def _run_fold(
    fold_: Fold, dataset: Dataset, known_from: NDArray[np.int64], features: NDArray[np.float32], offset: int
) -> FoldResult:
    train, known_fraud = rows_to_train_on(fold_, dataset.days, dataset.is_fraud, known_from)
    test = rows_to_test_on(fold_, dataset.days, dataset.is_fraud, known_from, dataset.cards)
    _check_fold(fold_, known_fraud, test)
    margins, probabilities = _fit_and_score(
        features[train - offset], known_fraud, dataset.cards[train], features[test.rows - offset]
    )
    is_fraud = dataset.is_fraud[test.rows]
    return FoldResult(
        fold=fold_.number,
        train=_period(fold_.train_from, fold_.train_until, known_fraud),
        test=_period(fold_.test_from, fold_.test_until, is_fraud),
        removed_rows=test.removed_rows,
        removed_cards=test.removed_cards,
        metrics=evaluate(
            margins,
            is_fraud,
            amount_minor=dataset.columns["amount"][test.rows],
            card_ids=dataset.cards[test.rows],
            days=dataset.days[test.rows],
            probabilities=probabilities,
        ),
    )


def _check_fold(fold_: Fold, known_fraud: NDArray[np.bool_], test: RowsToTestOn) -> None:
    where = f"fold {fold_.number}"
    training = f"{to_date(fold_.train_from)} to {to_date(fold_.train_until - 1)}"
    if not known_fraud.any() or known_fraud.all():
        raise Misconfigured(
            f"{where}: cannot train on {training}: of {len(known_fraud)} transactions, {int(known_fraud.sum())} are"
            " known to be fraud, and both kinds are needed. Check label.is_fraud, or train on more days."
        )
    if not len(test.rows):
        testing = f"{to_date(fold_.test_from)} to {to_date(fold_.test_until - 1)}"
        raise Misconfigured(
            f"{where}: no transaction is left to test on from {testing}:"
            f" {test.removed_rows} were of cards known to be compromised"
        )


def _fit_and_score(
    features: NDArray[np.float32],
    is_fraud: NDArray[np.bool_],
    cards: NDArray[np.int64],
    test_features: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Margins and probabilities of the test rows.

    All training rows grow the trees that are tested. Their calibration is learned beside them, from trees
    that have not seen a fifth of the cards: what those trees say about that fifth is honest, and no row is
    lost for the margins.
    """
    held_out = np.isin(cards, _held_out_cards(cards, is_fraud))
    fit = partial(
        Detector.fit,
        calibration_features=features[held_out],
        calibration_is_fraud=is_fraud[held_out],
        settings=SETTINGS,
    )
    calibration = fit(features[~held_out], is_fraud[~held_out]).facts.calibration
    margins = fit(features, is_fraud).margins(test_features)
    return margins, calibration.apply(margins)


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
