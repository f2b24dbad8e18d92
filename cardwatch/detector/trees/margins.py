"""Margins of feature rows, bit-identical to XGBoost's `output_margin`.

As XGBoost does, leaf values are added to the base margin in float32, tree after tree. The walk is faster: a step has no
branch to mispredict, and eight trees are walked at a time, so that eight memory accesses overlap. This holds for
batches and single rows: 300 trees fit into the second-level cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardwatch.compiled import compiled
from cardwatch.detector.trees.flat import FlatTrees
from cardwatch.detector.trees.rows import double_row, next_node


def margins(trees: FlatTrees, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the margins, float32 [n], of rows, float32 [n, features] with NaN where missing; higher is riskier.

    Raises `ValueError` for rows of another width.
    """
    if rows.ndim != 2 or rows.shape[1] != trees.features:
        raise ValueError(f"the trees need rows of {trees.features} features, got the shape {rows.shape}")
    out = np.empty(len(rows), np.float32)
    rows = np.ascontiguousarray(rows, np.float32)
    _margins(rows, trees.nodes, trees.values, trees.roots, trees.depths, trees.base_margin, out)
    return out


@compiled
def _margins(rows, nodes, values, roots, depths, base_margin, out):  # type: ignore[no-untyped-def]
    doubled = np.empty(2 * rows.shape[1], np.float32)
    for i in range(len(rows)):
        out[i] = margin_of(rows[i], doubled, nodes, values, roots, depths, base_margin)


@compiled
def margin_of(row, doubled, nodes, values, roots, depths, base_margin):  # type: ignore[no-untyped-def]
    """Return the margin of one row; `doubled` is memory for its doubled form."""
    double_row(row, doubled)
    margin, tree = base_margin, 0
    while tree + 8 <= len(roots):
        margin = _add_eight(nodes, values, roots, depths, doubled, tree, margin)
        tree += 8
    while tree < len(roots):
        leaf = roots[tree]
        for _ in range(depths[tree]):
            leaf = next_node(nodes, doubled, leaf)
        margin += values[leaf]
        tree += 1
    return margin


@compiled
def _add_eight(nodes, values, roots, depths, doubled, tree, margin):  # type: ignore[no-untyped-def]
    """Return the margin after eight more trees. Eight variables, because a compiler keeps these in registers."""
    a, b, c, d = roots[tree], roots[tree + 1], roots[tree + 2], roots[tree + 3]
    e, f, g, h = roots[tree + 4], roots[tree + 5], roots[tree + 6], roots[tree + 7]
    depth = depths[tree]
    for other in range(tree + 1, tree + 8):
        depth = max(depth, depths[other])
    for _ in range(depth):
        a, b = next_node(nodes, doubled, a), next_node(nodes, doubled, b)
        c, d = next_node(nodes, doubled, c), next_node(nodes, doubled, d)
        e, f = next_node(nodes, doubled, e), next_node(nodes, doubled, f)
        g, h = next_node(nodes, doubled, g), next_node(nodes, doubled, h)
    margin += values[a]  # in the order of the trees, on which a float32 sum depends
    margin += values[b]
    margin += values[c]
    margin += values[d]
    margin += values[e]
    margin += values[f]
    margin += values[g]
    margin += values[h]
    return margin
