"""Cross-fitting: a calibration without rows that the trees would lose, and probabilities of cards that were not seen.

The cards are divided into folds by a hash of their ids. For each fold, trees are trained on the cards of all other
folds and give the margins of its rows: the out-of-fold margins, on which the calibration is fitted. The detector's
trees are trained on all cards. This is the calibration by cross-validation of Platt (1999), with one final model.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.detector.detector import DetectorFacts
from cardwatch.detector.trees.margins import margins
from cardwatch.errors import Misconfigured
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.training_policy import TrainingPolicy
from models.calibration import fit_calibration
from models.reliability import measure_calibration
from models.training import (
    FittedDetector,
    TrainingSettings,
    WeightedRows,
    fingerprint_of,
    fit_trees,
    require_both_classes,
    to_detector,
)

GENUINE_ROWS: Final = TrainingPolicy().genuine_rows


class CrossFit(Struct, frozen=True, kw_only=True):
    """A detector that was trained on n rows, and its out-of-fold margins, float32 [n], and probabilities, float64 [n].

    The probability of a row comes from a calibration that was fitted on the margins of the other folds. So it tells how
    the detector does on cards that neither its trees nor its calibration have seen, on the days of the training.
    """

    fitted: FittedDetector
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]


def card_folds(card_ids: Iterable[str], folds: int) -> NDArray[np.int64]:
    """Return the fold of each card id, int64 [n] in 0 .. `folds` - 1. It depends on the id only."""
    return np.fromiter((zlib.crc32(card.encode()) % folds for card in card_ids), np.int64)


def fit_cross_fitted(
    rows: WeightedRows, fold: NDArray[np.int64], settings: TrainingSettings, genuine_rows: int = GENUINE_ROWS
) -> CrossFit:
    """Fit a detector on all rows, with a calibration of out-of-fold margins. `fold`, int64 [n], is that of each row.

    `genuine_rows` is that of `out_of_fold_margins`. The same rows give the same bytes. Raises `Misconfigured` if the
    rows, or those outside of a fold, have one class only or if there are fewer than two folds, and `CorruptModel` as
    `fit_trees` does.
    """
    require_both_classes(rows)
    held_out = out_of_fold_margins(rows, fold, settings, genuine_rows)
    booster, trees = fit_trees(rows, settings)
    probabilities = out_of_fold_probabilities(held_out, rows, fold)
    facts = DetectorFacts(
        schema_hash=SCHEMA_HASH,
        feature_names=FEATURE_NAMES,
        calibration=fit_calibration(held_out, rows.is_fraud, rows.weight),
        settings=structs.asdict(settings),
        rows=len(rows),
        frauds=int(rows.is_fraud.sum()),
        fingerprint=fingerprint_of(
            settings, rows.features, rows.is_fraud, fold, *([] if rows.weight is None else [rows.weight])
        ),
        calibration_folds=len(np.unique(fold)),
        calibration_quality=structs.asdict(measure_calibration(probabilities, rows.is_fraud, rows.weight)),
    )
    return CrossFit(fitted=to_detector(booster, trees, facts), margins=held_out, probabilities=probabilities)


def out_of_fold_margins(
    rows: WeightedRows, fold: NDArray[np.int64], settings: TrainingSettings, genuine_rows: int = GENUINE_ROWS
) -> NDArray[np.float32]:
    """Return the margin of each row by trees that were trained on the other folds, float32 [n].

    They are trained on all frauds and at most `genuine_rows` genuine rows of these folds, with weights that stand for
    all, so that the time does not grow with the training window.
    """
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise Misconfigured("all cards are in one fold, so nothing is left to train on: there are too few cards")
    found = np.empty(len(rows), np.float32)
    for number in numbers:
        _, trees = fit_trees(rows.at(fold != number).thinned(genuine_rows), settings)
        found[fold == number] = margins(trees, rows.features[fold == number])
    return found


def out_of_fold_probabilities(
    held_out: NDArray[np.float32], rows: WeightedRows, fold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the probability of each row by a calibration of the other folds' margins, float64 [n]."""
    found = np.empty(len(rows), np.float64)
    for number in np.unique(fold):
        others = fold != number
        weight = None if rows.weight is None else rows.weight[others]
        calibration = fit_calibration(held_out[others], rows.is_fraud[others], weight)
        found[~others] = calibration.apply(held_out[~others])
    return found
