"""Leaving a family out: exactly its columns are missing, everything else is as it was."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from cardwatch.features.definitions import FAMILIES, FEATURES
from cli.evaluate.families import columns_of, compare
from cli.evaluate.replay import FeatureRows
from cli.evaluate.run import Metrics
from models.evaluation import Evaluation


def test_every_feature_belongs_to_one_family() -> None:
    assert sorted(position for family in FAMILIES for position in columns_of(family)) == list(range(len(FEATURES)))


@pytest.mark.parametrize("family", FAMILIES)
def test_exactly_the_columns_of_the_family_are_left_out(family: str) -> None:
    features = np.arange(4 * len(FEATURES), dtype=np.float32).reshape(4, -1)
    rows = FeatureRows(features.copy(), offset=10).at(np.array([11, 13]), columns_of(family))
    for position, feature in enumerate(FEATURES):
        if feature.family == family:
            assert np.isnan(rows[:, position]).all(), feature.name
        else:
            assert rows[:, position].tolist() == features[[1, 3], position].tolist(), feature.name


def test_leaving_a_family_out_changes_no_other_use_of_the_rows() -> None:
    rows = FeatureRows(np.ones((2, len(FEATURES)), np.float32), offset=0)
    rows.at(np.array([0, 1]), columns_of(FAMILIES[0]))
    assert (rows.at(np.array([0, 1])) == 1).all()


def judged(average_precision: float | None) -> Metrics:
    evaluation = Evaluation(
        rows=10,
        frauds=1,
        roc_auc=None,
        average_precision=average_precision,
        recall_at_fpr_0_1_percent=0.5,
        recall_at_fpr_1_percent=None,
        card_precision_at_100=None,
        expected_cost=None,
    )
    return structs.asdict(evaluation)


def test_folds_are_compared_in_pairs() -> None:
    result = compare("place", [judged(0.5), judged(0.7)], [judged(0.8), judged(0.8)])
    assert (result.family, result.features) == ("place", 3)
    assert result.without.mean["average_precision"] == pytest.approx(0.6)
    # -0.3 and -0.1: their mean, and their distance over the root of 2.
    assert result.difference.mean["average_precision"] == pytest.approx(-0.2)
    assert result.difference.std["average_precision"] == pytest.approx(0.2 / 2**0.5)
    assert result.difference.mean["recall_at_fpr_0_1_percent"] == 0.0


def test_a_fold_without_the_number_on_either_side_is_not_compared() -> None:
    result = compare("place", [judged(0.5), judged(None)], [judged(0.6), judged(0.9)])
    assert result.difference.mean["average_precision"] == pytest.approx(-0.1)
    assert result.difference.std["average_precision"] is None
