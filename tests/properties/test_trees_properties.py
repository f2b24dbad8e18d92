"""Flat trees against XGBoost: bit-identical margins and equal contributions, for every model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cardwatch.detector.trees.contributions import contributions, expected_margin
from cardwatch.detector.trees.flat import FlatTrees
from cardwatch.detector.trees.margins import margins
from models.tree_export import flatten, xgboost_margins

FEATURES = 9

MODELS = st.fixed_dictionaries(
    {
        "max_depth": st.integers(1, 9),
        "grow_policy": st.sampled_from(["depthwise", "lossguide"]),
        "tree_method": st.sampled_from(["hist", "exact", "approx"]),
        "min_child_weight": st.sampled_from([0.0, 1.0, 20.0]),
        "gamma": st.sampled_from([0.0, 2.0]),  # pruning leaves holes in XGBoost's numbering
        "base_score": st.sampled_from([None, 0.003, 0.5, 0.97]),
        "colsample_bytree": st.sampled_from([0.3, 1.0]),
        "num_parallel_tree": st.integers(1, 2),
        "learning_rate": st.sampled_from([0.05, 1.0]),
        "scale_pos_weight": st.sampled_from([1.0, 40.0]),
        "seed": st.integers(0, 99),
    }
)


def rows(seed: int, count: int, missing: float) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, FEATURES)).astype(np.float32)
    values[:, 0] = np.round(values[:, 0])  # many equal values, which thresholds fall on
    values[random.random(values.shape) < missing] = np.nan
    return values


def trained(parameters: dict[str, Any], seed: int, rounds: int, missing: float) -> xgboost.Booster:
    features = rows(seed, 500, missing)
    is_fraud = np.nan_to_num(features[:, 0]) + np.nan_to_num(features[:, 1]) ** 2 > 1.8
    given_parameters = {name: value for name, value in parameters.items() if value is not None}
    if parameters["tree_method"] == "exact":
        given_parameters["grow_policy"] = "depthwise"
    return xgboost.train(
        {"objective": "binary:logistic", "nthread": 1, **given_parameters},
        xgboost.DMatrix(features, is_fraud),
        rounds,
    )


@settings(max_examples=60, deadline=None)
@given(
    parameters=MODELS,
    seed=st.integers(0, 10_000),
    rounds=st.sampled_from([1, 3, 8, 21]),
    missing=st.sampled_from([0.0, 0.2, 0.9]),
)
def test_margins_have_xgboosts_bits_and_contributions_its_values(
    parameters: dict[str, Any], seed: int, rounds: int, missing: float
) -> None:
    booster = trained(parameters, seed, rounds, missing)
    trees = flatten(booster)
    sample = np.concatenate([rows(seed + 1, 60, missing), rows(seed + 2, 1, 1.0), np.zeros((1, FEATURES), np.float32)])
    expected = xgboost_margins(booster, sample)
    assert margins(trees, sample).tobytes() == expected.tobytes()
    assert b"".join(margins(trees, sample[i : i + 1]).tobytes() for i in range(len(sample))) == expected.tobytes()

    assume(np.abs(expected).max() < 50.0)  # beyond, the sum of the second derivatives of a node is below 1e-13
    by_library = booster.predict(xgboost.DMatrix(sample, nthread=1), pred_contribs=True)
    found = contributions(trees, sample)
    scale = max(1.0, float(np.abs(by_library).max()))  # the library adds up float32
    assert np.abs(found - by_library[:, :-1]).max() < 1e-5 * scale
    assert expected_margin(trees) == pytest.approx(float(by_library[0, -1]), abs=1e-5 * scale)
    assert found.sum(axis=1) + expected_margin(trees) == pytest.approx(expected.astype(np.float64), abs=2e-5 * scale)


@settings(max_examples=10, deadline=None)
@given(parameters=MODELS, seed=st.integers(0, 10_000), best=st.integers(0, 8))
def test_after_early_stopping_the_trees_up_to_the_best_iteration_score(
    parameters: dict[str, Any], seed: int, best: int
) -> None:
    booster = trained(parameters, seed, 10, 0.2)
    booster.set_attr(best_iteration=str(best))  # what early stopping leaves behind
    trees = flatten(booster)
    assert len(trees.roots) == (best + 1) * parameters["num_parallel_tree"]
    sample = rows(seed + 1, 50, 0.2)
    expected = booster.predict(xgboost.DMatrix(sample), output_margin=True, iteration_range=(0, best + 1))
    assert margins(trees, sample).tobytes() == expected.tobytes()


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 50))
def test_a_damaged_file_is_refused_or_harmless(data: st.DataObject, seed: int) -> None:
    """A damaged file is refused, or rows get finite margins: no walk leaves the arrays."""
    sound = flatten(
        trained({"max_depth": 4, "tree_method": "hist", "grow_policy": "depthwise"}, seed, 3, 0.2)
    ).to_bytes()
    damaged = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        trees = FlatTrees.from_bytes(bytes(damaged))
    except Exception as error:
        assert type(error).__name__ == "CorruptModel", repr(error)
        return
    if trees.features == FEATURES:
        assert np.all(np.isfinite(margins(trees, rows(1, 20, 0.2))))
        contributions(trees, rows(1, 20, 0.2))
