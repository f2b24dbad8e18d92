"""The test rows of a fold with their scores: the detector's, and those of the data's own score columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cli.evaluate.dataset import Dataset
from cli.evaluate.score_fields import score_field
from models.calibration import fit_isotonic
from models.prequential import Fold, FoldTestRows


class ChosenRows(Struct, frozen=True, kw_only=True):
    """Rows of a fold: positions in the data, and the labels of `train` as known when the test begins."""

    fold: Fold
    train: NDArray[np.int64]
    known_fraud: NDArray[np.bool_]
    test: FoldTestRows


class ModelScores(Struct, frozen=True, kw_only=True):
    """Scores of n test rows, higher is more suspicious, and the calibrated probabilities of fraud, in 0..1."""

    values: NDArray[np.floating[Any]]
    probabilities: NDArray[np.float64]


class ScoredFold(Struct, frozen=True, kw_only=True):
    """The rows of a fold, and the scores of its test rows. `theirs`: per score column of the data."""

    rows: ChosenRows
    ours: ModelScores
    theirs: dict[str, ModelScores]


def foreign_scores(dataset: Dataset, chosen: ChosenRows, column: str) -> ModelScores:
    """Return the scores of a column for the test rows, calibrated on the training rows of the fold."""
    scores = dataset.columns[score_field(column)]
    test = scores[chosen.test.rows]
    return ModelScores(values=test, probabilities=calibrated(scores[chosen.train], chosen.known_fraud, test))


def calibrated(
    train: NDArray[np.float64], known_fraud: NDArray[np.bool_], test: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return probabilities of fraud, float64 [test], of scores of any scale, in 0..1.

    An isotonic regression of the labels that are known when the test begins on the training rows' scores. It uses
    nothing of the test rows but their own scores. It is fitted on ranks, because the regression takes scores that
    differ by less than 1e-15 for equal.

    >>> calibrated(np.array([1e-20, 2e-20, 3e-20]), np.array([False, False, True]), np.array([2e-20, 1.0])).round(2)
    array([0.2 , 0.67])
    """
    distinct, rank = np.unique(train, return_inverse=True)
    calibration = fit_isotonic(rank.astype(np.float64), known_fraud)
    places = np.interp(test, distinct, np.arange(len(distinct)))
    return np.interp(places, calibration.margins, calibration.probabilities)
