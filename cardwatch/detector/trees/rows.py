"""A feature row as the walk reads it."""

from __future__ import annotations

import numpy as np

from cardwatch.compiled import compiled

_LOW, _HIGH = np.float32(-np.inf), np.float32(np.inf)


@compiled
def double_row(row, doubled):  # type: ignore[no-untyped-def]
    """Write the row twice: a missing value is below every threshold in the first half, above it in the second."""
    width = len(row)
    for feature in range(width):
        value = row[feature]
        missing = np.isnan(value)
        doubled[feature] = _LOW if missing else value
        doubled[width + feature] = _HIGH if missing else value


@compiled
def next_node(nodes, doubled, n):  # type: ignore[no-untyped-def]
    """One step of a walk, without a branch; from a leaf to itself."""
    node = nodes[n]
    return node.left + (0 if doubled[node.feature] < node.threshold else 1)
