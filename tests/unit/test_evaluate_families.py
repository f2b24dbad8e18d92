"""Leaving a family out: exactly its columns are missing, everything else is as it was."""

from __future__ import annotations

import numpy as np
import pytest

from cardwatch.features.table import FAMILIES, FEATURES
from cli.evaluate.families import columns_of
from cli.evaluate.replay import FeatureRows


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
