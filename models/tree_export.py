"""Export of an XGBoost model to flat trees: nodes in breadth-first order, verified against XGBoost's predictions."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import numpy as np
import xgboost
from numpy.typing import NDArray

from cardwatch.detector.trees.flat import NODE, FlatTrees
from cardwatch.detector.trees.margins import margins
from cardwatch.errors import CorruptModel, Misconfigured

MIN_SHARE: Final = 1e-12
"""Minimum share of a branch. Branches without training rows have the weight 0, and contributions divide by the share.
The effect on contributions is below the resolution of float32."""


def flatten(booster: xgboost.Booster) -> FlatTrees:
    """Return the trees that `booster` predicts with: all of them, or those up to `best_iteration` if it is set.

    The shares and quadrature points are those of path-dependent TreeSHAP (see `cardwatch.detector.trees`). Raises
    `Misconfigured` for models with categorical splits, several targets or classes, DART trees or linear boosters.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    _require_supported(learner)
    model = learner["gradient_booster"]["model"]
    features = int(learner["learner_model_param"]["num_feature"])
    trees = [_Tree(tree) for tree in model["trees"][: _used(learner)]]
    if not trees:
        raise Misconfigured("a model without trees cannot be published: train at least one round")
    walks = [tree.breadth_first() for tree in trees]
    roots = np.cumsum([0, *(len(walk) for walk in walks)])[:-1]
    parts = [
        _flatten_one(tree, walk, int(root), features) for tree, walk, root in zip(trees, walks, roots, strict=True)
    ]
    points, weights = np.polynomial.legendre.leggauss((max(part.different for part in parts) + 1) // 2)
    flat = FlatTrees(
        features=features,
        base_margin=_base_margin(booster),
        nodes=np.concatenate([part.nodes for part in parts]),
        values=np.concatenate([part.values for part in parts]),
        roots=roots.astype(np.int32),
        depths=np.array([walk[-1].depth for walk in walks], np.int32),
        shares=np.concatenate([part.shares for part in parts]),
        same=np.concatenate([part.same for part in parts]),
        points=(points + 1.0) / 2.0,
        weights=weights / 2.0,
    )
    return FlatTrees.from_bytes(flat.to_bytes())


def require_same_margins(booster: xgboost.Booster, trees: FlatTrees, rows: NDArray[np.float32]) -> None:
    """Raise `CorruptModel` if the margins of `rows`, float32 [n, features], differ from XGBoost's in any bit."""
    expected = xgboost_margins(booster, rows)
    actual = margins(trees, rows)
    if expected.tobytes() != actual.tobytes():
        row = int(np.flatnonzero(expected != actual)[0])
        raise CorruptModel(
            f"the flat trees give row {row} the margin {actual[row]!r}, XGBoost {xgboost.__version__} gives"
            f" {expected[row]!r}: this version of XGBoost predicts in another way, the model is not saved"
        )


def xgboost_margins(booster: xgboost.Booster, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return XGBoost's margins (log-odds) of float32 [n, features] rows, from the trees that `flatten` exports."""
    best = booster.attr("best_iteration")
    until = 0 if best is None else int(best) + 1  # 0 means all
    predicted: NDArray[np.float32] = booster.inplace_predict(
        np.ascontiguousarray(rows, np.float32),
        predict_type="margin",
        iteration_range=(0, until),
        validate_features=False,
    )
    return predicted


class _Step(NamedTuple):
    """A node in breadth-first order: its XGBoost index, its depth, and the position of its parent in this order."""

    node: int
    depth: int
    parent: int


class _Flat(NamedTuple):
    """Arrays of one tree. `different` is the maximum number of distinct features on a path."""

    nodes: NDArray[np.void]
    values: NDArray[np.float32]
    shares: NDArray[np.float64]
    same: NDArray[np.int32]
    different: int


class _Tree:
    """One tree of XGBoost's JSON. For a leaf, `split_conditions` holds its value."""

    def __init__(self, tree: dict[str, Any]) -> None:
        if any(tree["split_type"]):
            raise Misconfigured("the model has categorical splits, which flat trees do not have: train without them")
        self.left, self.right = tree["left_children"], tree["right_children"]
        self.condition = np.array(tree["split_conditions"], np.float64).astype(np.float32)
        self.feature, self.default_left = tree["split_indices"], tree["default_left"]
        self.weight = tree["sum_hessian"]

    def is_leaf(self, node: int) -> bool:
        return bool(self.left[node] == -1)

    def breadth_first(self) -> list[_Step]:
        walk = [_Step(0, 0, -1)]
        for position, step in enumerate(walk):  # the list grows during the iteration
            if not self.is_leaf(step.node):
                walk.append(_Step(self.left[step.node], step.depth + 1, position))
                walk.append(_Step(self.right[step.node], step.depth + 1, position))
        return walk


def _flatten_one(tree: _Tree, walk: list[_Step], root: int, features: int) -> _Flat:
    nodes, values = np.zeros(len(walk), NODE), np.zeros(len(walk), np.float32)
    shares, same = np.ones(len(walk), np.float64), np.full(len(walk), -1, np.int32)
    nearest: list[dict[int, int]] = [{} for _ in walk]  # per node and feature: the nearest split above
    next_child = 1
    for position, (number, _, parent) in enumerate(walk):
        if parent >= 0:
            feature = tree.feature[walk[parent].node]
            above = nearest[parent].get(feature)
            share = tree.weight[number] / max(tree.weight[walk[parent].node], MIN_SHARE)
            if above is not None:
                same[position] = root + above
                share *= shares[above]
            shares[position] = min(max(share, MIN_SHARE), 1.0)
            nearest[position] = {**nearest[parent], feature: position}
        if tree.is_leaf(number):
            nodes[position] = (np.nan, 0, root + position - 1)
            values[position] = tree.condition[number]
        else:
            goes_right = 0 if tree.default_left[number] else features
            nodes[position] = (tree.condition[number], tree.feature[number] + goes_right, root + next_child)
            next_child += 2
    return _Flat(nodes, values, shares, same, max(1, *map(len, nearest)) if len(nearest) > 1 else 1)


def _require_supported(learner: dict[str, Any]) -> None:
    booster, parameters = learner["gradient_booster"]["name"], learner["learner_model_param"]
    if booster != "gbtree":
        raise Misconfigured(f"the model's booster is {booster!r}; only 'gbtree' can be published")
    if int(parameters["num_target"]) > 1 or int(parameters["num_class"]) > 1:
        raise Misconfigured("the model has several targets or classes; only one margin a row can be published")
    objective = learner["objective"]["name"]
    if objective != "binary:logistic":
        raise Misconfigured(f"the model's objective is {objective!r}; only 'binary:logistic' can be published")


def _used(learner: dict[str, Any]) -> int | None:
    best = learner["attributes"].get("best_iteration")
    if best is None:
        return None
    used: int = learner["gradient_booster"]["model"]["iteration_indptr"][int(best) + 1]
    return used


def _base_margin(booster: xgboost.Booster) -> np.float32:
    """Return the margin before the first tree. XGBoost computes it, because its logarithm depends on the platform."""
    model = json.loads(booster.save_raw("json"))
    learner = model["learner"]
    learner["learner_model_param"]["boost_from_average"] = "0"  # otherwise a model without trees ignores its base score
    learner["attributes"].pop("best_iteration", None)
    trees = learner["gradient_booster"]["model"]
    trees["trees"], trees["tree_info"], trees["iteration_indptr"] = [], [], [0]
    trees["gbtree_model_param"]["num_trees"] = "0"
    bare = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
    row = np.zeros((1, bare.num_features()), np.float32)
    margin: NDArray[np.float32] = bare.inplace_predict(row, predict_type="margin", validate_features=False)
    return np.float32(margin[0])
