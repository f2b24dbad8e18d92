"""Flat trees: which files are refused, and values derived by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xgboost

from cardwatch.detector.trees.contributions import contributions, expected_margin
from cardwatch.detector.trees.flat import NODE, FlatTrees
from cardwatch.detector.trees.margins import margins
from cardwatch.errors import CorruptModel, Misconfigured
from models.tree_export import flatten

MISSING = np.nan
LEAF = np.nan


def stump() -> FlatTrees:
    """One split, `x0 < 2`, a missing value goes right; a quarter of the weight goes left, to -1; to the right is 3."""
    return FlatTrees(
        features=2,
        base_margin=np.float32(0.5),
        nodes=np.array([(2.0, 0 + 2, 1), (LEAF, 0, 0), (LEAF, 0, 1)], NODE),
        values=np.array([0.0, -1.0, 3.0], np.float32),
        roots=np.array([0], np.int32),
        depths=np.array([1], np.int32),
        shares=np.array([1.0, 0.25, 0.75]),
        same=np.array([-1, -1, -1], np.int32),
        points=np.array([0.5]),
        weights=np.array([1.0]),
    )


def test_a_value_below_the_threshold_goes_left_an_equal_or_missing_one_right() -> None:
    rows = np.array([[1.9, 0], [2.0, 0], [MISSING, 0], [-np.inf, 0]], np.float32)
    assert margins(stump(), rows).tolist() == [-0.5, 3.5, 3.5, -0.5]


def test_a_missing_value_goes_left_where_the_column_says_so() -> None:
    nodes = stump().nodes.copy()
    nodes[0]["feature"] = 0
    trees = stump()._replace(nodes=nodes)
    assert margins(trees, np.array([[MISSING, 0]], np.float32)).tolist() == [-0.5]


def test_contributions_are_counted_from_the_mean_leaf() -> None:
    # The mean leaf is -1/4 + 3 * 3/4 = 2, the mean margin 2.5. Left of the split is 3 less than the mean, right 1 more.
    assert expected_margin(stump()) == 2.5
    found = contributions(stump(), np.array([[1.0, 7.0], [2.0, 7.0]], np.float32))
    assert found.tolist() == [[-3.0, 0.0], [1.0, 0.0]]


def test_two_features_that_are_needed_together_share_the_contribution() -> None:
    # x0 >= 1, then x1 >= 1, gives 8, all else 0; half of the weight goes each way. Mean 2; alone x0 or x1 raise the
    # expectation from 2 to 4, both to 8: by Shapley each gets (2 + 4) / 2 = 3.
    trees = FlatTrees(
        features=2,
        base_margin=np.float32(0.0),
        nodes=np.array([(1.0, 0, 1), (LEAF, 0, 0), (1.0, 1, 3), (LEAF, 0, 2), (LEAF, 0, 3)], NODE),
        values=np.array([0, 0, 0, 0, 8], np.float32),
        roots=np.array([0], np.int32),
        depths=np.array([2], np.int32),
        shares=np.array([1.0, 0.5, 0.5, 0.5, 0.5]),
        same=np.full(5, -1, np.int32),
        points=np.array([0.5]),
        weights=np.array([1.0]),
    )
    trees = FlatTrees.from_bytes(trees.to_bytes())
    assert contributions(trees, np.array([[1.0, 1.0]], np.float32)).tolist() == [[3.0, 3.0]]
    # x1 is not tested where x0 goes left, but it is known: with x0 unknown it would have raised the expectation by 2.
    assert contributions(trees, np.array([[0.0, 1.0]], np.float32)).tolist() == [[-3.0, 1.0]]


def test_trees_survive_storage() -> None:
    again = FlatTrees.from_bytes(stump().to_bytes())
    assert again.to_bytes() == stump().to_bytes()
    assert again.nodes.tobytes() == stump().nodes.tobytes()


def test_no_rows_give_no_margins_and_rows_of_another_width_are_refused() -> None:
    assert margins(stump(), np.empty((0, 2), np.float32)).shape == (0,)
    for score in (margins, contributions):
        with pytest.raises(ValueError, match="need rows of 2 features"):
            score(stump(), np.zeros((1, 3), np.float32))


def edited(name: str, index: int, value: Any) -> FlatTrees:
    array = getattr(stump(), name).copy()
    array[index] = value
    return stump()._replace(**{name: array})


@pytest.mark.rubric("monitor-5")
@pytest.mark.parametrize(
    "invalid",
    [
        pytest.param(lambda: edited("nodes", 0, (2.0, 0, 9_999_999)), id="a child far outside"),
        pytest.param(lambda: edited("nodes", 0, (2.0, 0, 0)), id="a node that is its own child"),
        pytest.param(lambda: edited("nodes", 0, (2.0, 0, -5)), id="a child before the tree"),
        pytest.param(lambda: edited("nodes", 0, (2.0, 4, 1)), id="a feature that rows do not have"),
        pytest.param(lambda: edited("nodes", 0, (2.0, -1, 1)), id="a negative feature"),
        pytest.param(lambda: edited("nodes", 0, (np.inf, 0, 1)), id="an infinite threshold"),
        pytest.param(lambda: edited("nodes", 1, (LEAF, 0, 2)), id="a leaf that moves on"),
        pytest.param(lambda: edited("nodes", 1, (LEAF, 7, 0)), id="a leaf that reads outside of the row"),
        pytest.param(lambda: edited("values", 1, np.nan), id="a leaf without a value"),
        pytest.param(lambda: edited("roots", 0, 1), id="a root that is not the first node"),
        pytest.param(lambda: edited("roots", 0, -1), id="a negative root"),
        pytest.param(lambda: edited("depths", 0, 0), id="a depth that is too small"),
        pytest.param(lambda: edited("depths", 0, 2**31 - 1), id="a depth that is too large"),
        pytest.param(lambda: edited("shares", 1, 0.0), id="a share of zero"),
        pytest.param(lambda: edited("shares", 1, np.nan), id="a share that is no number"),
        pytest.param(lambda: edited("same", 2, 77), id="an edge above that does not exist"),
        pytest.param(lambda: edited("same", 1, 2), id="an edge above that comes later"),
        pytest.param(lambda: edited("points", 0, 1.0), id="a point at the end"),
        pytest.param(lambda: stump()._replace(points=np.array([]), weights=np.array([])), id="no quadrature"),
        pytest.param(
            lambda: stump()._replace(roots=np.array([], np.int32), depths=np.array([], np.int32)), id="no tree"
        ),
        pytest.param(lambda: stump()._replace(values=np.zeros(2, np.float32)), id="too few values"),
        pytest.param(lambda: stump()._replace(features=0), id="no features"),
        pytest.param(lambda: stump()._replace(features=2**31), id="a row larger than memory"),
        pytest.param(lambda: stump()._replace(base_margin=np.float32(np.nan)), id="no base margin"),
        pytest.param(lambda: stump()._replace(base_margin=1e300), id="a base margin beyond float32"),
    ],
)
def test_an_invalid_file_is_refused_before_it_is_evaluated(invalid: Callable[[], FlatTrees]) -> None:
    with pytest.raises(CorruptModel, match="flat trees"):
        FlatTrees.from_bytes(invalid().to_bytes())


def boosted(features: Any = None, **parameters: Any) -> xgboost.Booster:
    random = np.random.default_rng(1)
    data = random.normal(size=(100, 3)) if features is None else features
    options = {"enable_categorical": True} if features is not None else {}
    return xgboost.train({"max_depth": 2, **parameters}, xgboost.DMatrix(data, random.random(100) < 0.4, **options), 3)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"booster": "dart", "objective": "binary:logistic"}, "'dart'"),
        ({"booster": "gblinear", "objective": "binary:logistic", "verbosity": 0}, "'gblinear'"),
        ({"objective": "reg:squarederror"}, "'reg:squarederror'"),
        ({"objective": "multi:softprob", "num_class": 3}, "several targets or classes"),
    ],
)
def test_a_model_that_is_not_one_sum_of_trees_is_refused(parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason):
        flatten(boosted(**parameters))


def test_categorical_splits_are_refused() -> None:
    import pandas as pd  # noqa: PLC0415

    kinds = pd.DataFrame({"kind": pd.Categorical(np.random.default_rng(2).integers(0, 9, 100))})
    with pytest.raises(Misconfigured, match="categorical splits"):
        flatten(boosted(kinds, objective="binary:logistic", max_cat_to_onehot=1))


def test_a_model_without_trees_is_refused() -> None:
    data = xgboost.DMatrix(np.zeros((4, 2)), np.array([0, 1, 0, 1]))
    with pytest.raises(Misconfigured, match="without trees"):
        flatten(xgboost.train({"objective": "binary:logistic"}, data, 0))
