"""Gradient-boosted trees as flat arrays, the form in which a model is published and evaluated.

The trees are stored one after another, each in breadth-first order, so that a node's children are adjacent and follow
it. A row is evaluated in doubled form (`rows.py`), so that a walk needs no case for missing values: with column `f` of
a node a missing value goes left, with column `f + features` it goes right.

Compiled code reads these arrays without bounds checks, and files come over a network. So `from_bytes` verifies that
every walk ends at a leaf of its own tree, for any input.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.compiled import compiled
from cardwatch.errors import CorruptModel

FORMAT: Final = 1
"""Version of the stored form."""

NODE: Final = np.dtype([("threshold", "<f4"), ("feature", "<i4"), ("left", "<i4")])
"""One node. A value below `threshold` goes to node `left`, any other to `left + 1`. A leaf has the threshold NaN and
the index before its own as `left`, so that a further step returns to the leaf."""

_ARRAYS: Final[dict[str, str]] = {
    "nodes": NODE.str,
    "values": "<f4",
    "roots": "<i4",
    "depths": "<i4",
    "shares": "<f8",
    "same": "<i4",
    "points": "<f8",
    "weights": "<f8",
}


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    features: int
    base_margin: float
    nodes: bytes
    values: bytes
    roots: bytes
    depths: bytes
    shares: bytes
    same: bytes
    points: bytes
    weights: bytes


class FlatTrees(NamedTuple):
    """The trees of one model over rows of `features` columns. All arrays are read-only and little-endian.

    `base_margin`: float32, the initial margin of every row. `nodes`: NODE [n]. `values`: float32 [n], the addend of
    each leaf to the margin. `roots`, `depths`: int32 [trees], the index of each tree's first node, and its depth.

    For contributions (`contributions.py`), per edge into a node: `shares`: float64 [n], the share of the training
    weight that passes all edges with the same feature from the root to here. `same`: int32 [n], the node under the
    nearest edge above that splits on the same feature, -1 if there is none. `points`, `weights`: float64 [q],
    Gauss-Legendre quadrature on 0..1 that is exact for the largest number of different features on a path.
    """

    features: int
    base_margin: np.float32
    nodes: NDArray[np.void]
    values: NDArray[np.float32]
    roots: NDArray[np.int32]
    depths: NDArray[np.int32]
    shares: NDArray[np.float64]
    same: NDArray[np.int32]
    points: NDArray[np.float64]
    weights: NDArray[np.float64]

    def to_bytes(self) -> bytes:
        """Return the stored form; equal trees give equal bytes."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)).tobytes() for name in _ARRAYS}
        file = _File(format=FORMAT, features=self.features, base_margin=float(self.base_margin), **arrays)
        return msgspec.msgpack.encode(file)

    @classmethod
    def from_bytes(cls, data: bytes) -> FlatTrees:
        """Load what `to_bytes` wrote, in about a millisecond; raises `CorruptModel` for anything else."""
        try:
            file = msgspec.msgpack.decode(data, type=_File)
            arrays: dict[str, NDArray[Any]] = {
                name: np.frombuffer(getattr(file, name), NODE if name == "nodes" else kind)
                for name, kind in _ARRAYS.items()
            }
        except (msgspec.DecodeError, ValueError) as error:
            raise CorruptModel(f"the flat trees cannot be read: {error}") from error
        if file.format != FORMAT:
            raise CorruptModel(
                f"the flat trees have format {file.format}, this version reads {FORMAT}: retrain the model"
            )
        with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, which is refused below
            base_margin = np.float32(file.base_margin)
        trees = cls(features=file.features, base_margin=base_margin, **arrays)
        trees._validate()
        return trees

    def _validate(self) -> None:
        nodes, trees = len(self.nodes), len(self.roots)
        same_length = len(self.values) == len(self.shares) == len(self.same) == nodes and len(self.depths) == trees
        if not (trees and nodes and same_length and 0 < self.features < 2**24):
            raise CorruptModel("the flat trees' arrays have inconsistent lengths")
        if not (len(self.points) == len(self.weights) > 0 and np.all((self.points > 0.0) & (self.points < 1.0))):
            raise CorruptModel("the flat trees' quadrature has no points, or points outside of 0..1")
        if not (
            np.isfinite(self.base_margin) and np.all(np.isfinite(self.values)) and np.all(np.isfinite(self.weights))
        ):
            raise CorruptModel("the flat trees hold a value that is not finite")
        invalid = _first_invalid_node(self.features, self.nodes, self.roots, self.depths, self.shares, self.same)
        if invalid >= 0:
            raise CorruptModel(
                f"node {invalid} of the flat trees is invalid: its children, feature, threshold or share"
            )


@compiled
def _first_invalid_node(features, nodes, roots, depths, shares, same):  # type: ignore[no-untyped-def]
    """Return the first node that violates the description of `NODE` or `FlatTrees`, or -1."""
    depth_of = np.zeros(len(nodes), np.int32)
    for tree in range(len(roots)):
        root = np.int64(roots[tree])
        end = np.int64(roots[tree + 1]) if tree + 1 < len(roots) else len(nodes)
        if root < 0 or end <= root or end > len(nodes) or (tree == 0 and root != 0):
            return max(root, 0)
        next_child, deepest = root + 1, 0
        depth_of[root] = 0
        for n in range(root, end):
            left = np.int64(nodes[n].left)
            if np.isnan(nodes[n].threshold):
                if left != n - 1 or nodes[n].feature != 0:
                    return n
            else:
                # in breadth-first order the children of the next inner node are always the next two nodes
                inside = left == next_child and left > n and left + 1 < end
                if not inside or not np.isfinite(nodes[n].threshold):
                    return n
                if nodes[n].feature < 0 or nodes[n].feature >= 2 * features:
                    return n
                for child in range(left, left + 2):
                    depth_of[child] = depth_of[n] + 1
                    if not _is_above(nodes, same, root, child, n) or not 0.0 < shares[child] <= 1.0:
                        return child
                deepest = max(deepest, depth_of[n] + 1)
                next_child += 2
        if next_child != end or depths[tree] != deepest:
            return root
    return -1


@compiled
def _is_above(nodes, same, root, child, parent):  # type: ignore[no-untyped-def]
    """Return whether `same[child]` is -1 or a node of this tree above the child."""
    return same[child] == -1 or root < same[child] <= parent
