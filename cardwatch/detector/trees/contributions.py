"""Exact Shapley values of trees: how much each feature of a row changed its margin.

They are the path-dependent values of TreeSHAP (Lundberg and others 2020, "From local explanations to global
understanding with explainable AI for trees"), which XGBoost calls `pred_contribs`, computed with another algorithm.

A leaf of value v with m different split features on its path contributes to feature i

    v (o_i - z_i) * sum over subsets S of the others: |S|! (m-|S|-1)! / m! * prod(o_j, j in S) * prod(z_j, j not in S)

where o_j is 1 if the row takes the leaf's branch at every split on j, else 0, and z_j is the share of the training
weight that takes it. The factorials are Euler's beta integral of t^|S| (1-t)^(m-|S|-1), so the sum over subsets is a
product under an integral, v (o_i - z_i) * integral of prod(t o_j + (1-t) z_j, j != i) dt: a polynomial of degree m-1,
for which Gauss-Legendre quadrature with m/2 points is exact. Products over a path and sums over its leaves are then
shared by all leaves, as in Linear TreeSHAP (Yu and others 2022), and a tree takes one pass down and one pass up.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.compiled import compiled
from cardwatch.detector.trees.flat import FlatTrees
from cardwatch.detector.trees.rows import double_row, next_node

_LANES: Final = 4
"""Number of float64 that a processor computes at once. The points are passed as a tuple, whose length is a constant
when the functions are compiled: so the loops over the points become vector instructions, in half the time."""


def contributions(trees: FlatTrees, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the contributions, float64 [n, features], in units of the margin; positive values raise the risk.

    A row's contributions and `expected_margin` add up to its margin. Raises `ValueError` for rows of another width.
    """
    if rows.ndim != 2 or rows.shape[1] != trees.features:
        raise ValueError(f"the trees need rows of {trees.features} features, got the shape {rows.shape}")
    out = np.zeros(rows.shape, np.float64)
    rows = np.ascontiguousarray(rows, np.float32)
    points, weights = _padded(trees.points, 0.5), _padded(trees.weights, 0.0)
    _contributions(rows, trees.nodes, trees.values, trees.roots, trees.shares, trees.same, points, weights, out)
    return out


def _padded(values: NDArray[np.float64], filler: float) -> tuple[float, ...]:
    """Return the values, and fillers up to a multiple of `_LANES`.

    A point with the weight 0 adds nothing to an integral. It lies inside of 0..1 like the others, so that no term is 0.
    """
    return tuple(values.tolist()) + (filler,) * (-len(values) % _LANES)


def expected_margin(trees: FlatTrees) -> float:
    """Return the weighted mean margin of the training rows, the baseline of all contributions."""
    return float(trees.base_margin) + float(_mean_of_leaves(trees.nodes, trees.values, trees.shares, trees.same))


@partial(compiled, nogil=True)
def _contributions(rows, nodes, values, roots, shares, same, points, weights, out):  # type: ignore[no-untyped-def]
    doubled = np.empty(2 * rows.shape[1], np.float32)
    largest = _largest_tree(nodes, roots)
    products, inverses = np.empty((largest, len(points))), np.empty((largest, len(points)))
    follows = np.empty(largest)
    for i in range(len(rows)):
        double_row(rows[i], doubled)
        for tree in range(len(roots)):
            root = roots[tree]
            end = roots[tree + 1] if tree + 1 < len(roots) else len(nodes)
            _descend(nodes, doubled, shares, same, points, values, root, end, products, inverses, follows)
            _ascend(nodes, shares, same, weights, root, end, products, inverses, follows, out[i])


@compiled
def _largest_tree(nodes, roots):  # type: ignore[no-untyped-def]
    largest = len(nodes) - roots[-1]
    for tree in range(len(roots) - 1):
        largest = max(largest, roots[tree + 1] - roots[tree])
    return largest


@compiled
def _descend(nodes, doubled, shares, same, points, values, root, end, products, inverses, follows):  # type: ignore[no-untyped-def]
    """Pass from the root to the leaves; at every point t, `products` of t o + (1-t) z over each path's features.

    `inverses` holds the reciprocal of that term for the edge's own feature (a product is cheaper than a quotient),
    `follows` its o. If a feature splits again, its new term replaces the former one. At a leaf the product is
    multiplied by the leaf's value.
    """
    products[0] = 1.0
    for n in range(root, end):
        if nodes[n].left <= n:
            for q in range(len(points)):
                products[n - root, q] *= values[n]
            continue
        taken = next_node(nodes, doubled, n)
        for child in range(nodes[n].left, nodes[n].left + 2):
            before, k = same[child], child - root
            follows[k] = 1.0 if child == taken else 0.0
            if before >= 0:
                follows[k] *= follows[before - root]
            for q in range(len(points)):
                term = (1.0 - points[q]) * shares[child] + points[q] * follows[k]
                products[k, q] = products[n - root, q] * term
                inverses[k, q] = 1.0 / term
            if before >= 0:
                for q in range(len(points)):
                    products[k, q] *= inverses[before - root, q]


@compiled
def _ascend(nodes, shares, same, weights, root, end, products, inverses, follows, out):  # type: ignore[no-untyped-def]
    """Pass from the leaves to the root; adds each edge's contribution, from sums of products over the leaves below it.

    If the feature of an edge splits again below, the part of the former edge is subtracted, which is counted above.
    """
    for n in range(end - 1, root - 1, -1):
        left = nodes[n].left
        if left <= n:
            continue
        total = 0.0
        for child in range(left, left + 2):
            before, k = same[child], child - root
            gain = follows[k] - shares[child]
            for q in range(len(weights)):
                total += weights[q] * products[k, q] * gain * inverses[k, q]
            if before >= 0:
                gain_before = follows[before - root] - shares[before]
                for q in range(len(weights)):
                    total -= weights[q] * products[k, q] * gain_before * inverses[before - root, q]
        feature = nodes[n].feature
        out[feature if feature < len(out) else feature - len(out)] += total
        for q in range(len(weights)):
            products[n - root, q] = products[left - root, q] + products[left + 1 - root, q]


@compiled
def _mean_of_leaves(nodes, values, shares, same):  # type: ignore[no-untyped-def]
    total, reach = 0.0, np.ones(len(nodes))
    for n in range(len(nodes)):
        left = nodes[n].left
        if left <= n:
            total += reach[n] * values[n]
            continue
        for child in range(left, left + 2):
            share = shares[child] if same[child] < 0 else shares[child] / shares[same[child]]
            reach[child] = reach[n] * share
    return total
