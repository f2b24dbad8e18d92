"""Train and test the same folds with the features of the kernel, and with those from before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.feature_sets import earlier_merchant_risks, earlier_rows
from cli.evaluate.dataset import Dataset
from cli.evaluate.replay import Report
from cli.evaluate.run import prepare
from models.prequential import PrequentialProtocol
from models.training import TrainingSettings, fit_detector


class ComparedFold(NamedTuple):
    """The test rows of a fold, int64 [n], and their scores with both sets of features, float32 [n]."""

    rows: NDArray[np.int64]
    before: NDArray[np.float32]
    now: NDArray[np.float32]


def compare_folds(
    dataset: Dataset, protocol: PrequentialProtocol, settings: TrainingSettings, report: Report
) -> Iterator[ComparedFold]:
    """Yield the folds of the protocol, each trained with both sets of features on the same rows and labels."""
    experiment = prepare(dataset, protocol, report)
    merchants = np.unique(dataset.kernel["merchant_hash"], return_inverse=True)[1].astype(np.int64)
    risks = earlier_merchant_risks(merchants, dataset.days, dataset.is_fraud, dataset.observed_at_ms)
    for chosen in experiment.folds:
        train, test = (experiment.features.at(rows) for rows in (chosen.train, chosen.test.rows))
        report(f"fold {chosen.fold.number}: features of now")
        now = _margins(train, chosen.known_fraud, test, settings)
        report(f"fold {chosen.fold.number}: features from before")
        train, test = earlier_rows(train, risks[chosen.train]), earlier_rows(test, risks[chosen.test.rows])
        yield ComparedFold(chosen.test.rows, _margins(train, chosen.known_fraud, test, settings), now)


def _margins(
    train: NDArray[np.float32], known_fraud: NDArray[np.bool_], test: NDArray[np.float32], settings: TrainingSettings
) -> NDArray[np.float32]:
    calibration = np.append(np.flatnonzero(known_fraud)[:1], np.flatnonzero(~known_fraud)[:1])  # margins know none
    fitted = fit_detector(
        train,
        known_fraud,
        calibration_features=train[calibration],
        calibration_is_fraud=known_fraud[calibration],
        settings=settings,
    )
    return fitted.detector.margins(test)
