"""Recall by typology, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cli.evaluate.typologies import TypologiesOfRows, TypologyRecall, recall_by_typology


class Rows:
    """Stands for a data set and its folds, of which only these fields are read."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def fold(rows: list[int], scores: list[float]) -> Any:
    return Rows(rows=Rows(test=Rows(rows=np.array(rows))), ours=Rows(values=np.array(scores)))


def test_each_fold_has_its_own_threshold_and_frauds_are_counted_together() -> None:
    # Rows 0 to 3 are genuine. The threshold is the highest genuine score of a fold: 0.5, then 0.2.
    dataset: Any = Rows(is_fraud=np.array([False] * 4 + [True] * 4))
    truth = TypologiesOfRows(names=["genuine", "skimming", "testing"], codes=np.array([0, 0, 0, 0, 2, 2, 1, 2]))
    folds = [fold([0, 1, 4, 5], [0.1, 0.5, 0.6, 0.4]), fold([2, 3, 6, 7], [0.2, 0.1, 0.2, 0.3])]
    assert recall_by_typology(dataset, truth, folds) == [
        TypologyRecall(
            typology="testing",
            frauds=3,
            recall_at_fpr_0_1_percent=2 / 3,
            interval=pytest.approx((0.208, 0.939), abs=5e-4),
            recall_at_fpr_1_percent=2 / 3,
        ),
        TypologyRecall(
            typology="skimming",
            frauds=1,
            recall_at_fpr_0_1_percent=0.0,  # as high as the next genuine row is not above it
            interval=pytest.approx((0.0, 0.793), abs=5e-4),
            recall_at_fpr_1_percent=0.0,
        ),
    ]
