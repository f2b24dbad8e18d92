"""An XGBoost model as flat trees: read from its JSON, renumbered breadth first, checked against the library itself."""

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
"""A branch that no training row took has no weight. This little keeps its share apart from zero, over which nothing can
be divided; contributions change by less than a float32 can show."""


def flatten(booster: xgboost.Booster) -> FlatTrees:
    """The trees that `booster` predicts with: all of them, or those up to `best_iteration` where training has set it.

    Raises `Misconfigured` for what is not numerical splits under one additive output: categorical splits, several
    targets or classes, DART's weighted trees, linear boosters.
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
    """Raise `CorruptModel` unless the trees give these rows XGBoost's own margins, to the bit."""
    wanted = library_margins(booster, rows)
    found = margins(trees, rows)
    if wanted.tobytes() != found.tobytes():
        wrong = int(np.flatnonzero(wanted != found)[0])
        raise CorruptModel(
            f"the flat trees give row {wrong} the margin {found[wrong]!r}, XGBoost {xgboost.__version__} gives"
            f" {wanted[wrong]!r}: this version of XGBoost predicts in another way, the model is not saved"
        )


def library_margins(booster: xgboost.Booster, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """XGBoost's margins of float32 [n, features] rows, by the trees that `flatten` takes."""
    best = booster.attr("best_iteration")
    until = 0 if best is None else int(best) + 1  # 0 means all
    found: NDArray[np.float32] = booster.inplace_predict(
        np.ascontiguousarray(rows, np.float32),
        predict_type="margin",
        iteration_range=(0, until),
        validate_features=False,
    )
    return found


class _Step(NamedTuple):
    """A node on the breadth-first walk: its number in XGBoost, its depth, its parent's place on the walk."""

    node: int
    depth: int
    parent: int


class _Flat(NamedTuple):
    """One tree's share of the arrays. `different`: the most different features on one of its paths."""

    nodes: NDArray[np.void]
    values: NDArray[np.float32]
    shares: NDArray[np.float64]
    same: NDArray[np.int32]
    different: int


class _Tree:
    """One tree of XGBoost's JSON. `split_conditions` holds a leaf's value where there is no split."""

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
        for place, step in enumerate(walk):  # it grows while it is walked
            if not self.is_leaf(step.node):
                walk.append(_Step(self.left[step.node], step.depth + 1, place))
                walk.append(_Step(self.right[step.node], step.depth + 1, place))
        return walk


def _flatten_one(tree: _Tree, walk: list[_Step], root: int, features: int) -> _Flat:
    nodes, values = np.zeros(len(walk), NODE), np.zeros(len(walk), np.float32)
    shares, same = np.ones(len(walk), np.float64), np.full(len(walk), -1, np.int32)
    nearest: list[dict[int, int]] = [{} for _ in walk]  # per node, by feature: the nearest edge above that splits on it
    next_child = 1
    for place, (number, _, parent) in enumerate(walk):
        if parent >= 0:
            feature = tree.feature[walk[parent].node]
            above = nearest[parent].get(feature)
            share = tree.weight[number] / max(tree.weight[walk[parent].node], MIN_SHARE)
            if above is not None:
                same[place] = root + above
                share *= shares[above]
            shares[place] = min(max(share, MIN_SHARE), 1.0)
            nearest[place] = {**nearest[parent], feature: place}
        if tree.is_leaf(number):
            nodes[place] = (np.nan, 0, root + place - 1)
            values[place] = tree.condition[number]
        else:
            goes_right = 0 if tree.default_left[number] else features
            nodes[place] = (tree.condition[number], tree.feature[number] + goes_right, root + next_child)
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
    """What XGBoost gives a row before the first tree: asked of the library, for it is a logarithm of its platform."""
    model = json.loads(booster.save_raw("json"))
    learner = model["learner"]
    learner["learner_model_param"]["boost_from_average"] = "0"  # else a model without trees ignores its base score
    learner["attributes"].pop("best_iteration", None)
    trees = learner["gradient_booster"]["model"]
    trees["trees"], trees["tree_info"], trees["iteration_indptr"] = [], [], [0]
    trees["gbtree_model_param"]["num_trees"] = "0"
    bare = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
    row = np.zeros((1, bare.num_features()), np.float32)
    margin: NDArray[np.float32] = bare.inplace_predict(row, predict_type="margin", validate_features=False)
    return np.float32(margin[0])
