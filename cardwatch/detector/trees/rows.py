"""The doubled form of a feature row, and one step of a walk over it."""

from __future__ import annotations

import numpy as np

from cardwatch.compiled import compiled

_LOW, _HIGH = np.float32(-np.inf), np.float32(np.inf)


@compiled
def double_row(row, doubled):  # type: ignore[no-untyped-def]
    """Write the row twice to `doubled`: missing values become -inf in the first half, +inf in the second."""
    width = len(row)
    for feature in range(width):
        value = row[feature]
        missing = np.isnan(value)
        doubled[feature] = _LOW if missing else value
        doubled[width + feature] = _HIGH if missing else value


@compiled
def next_node(nodes, doubled, n):  # type: ignore[no-untyped-def]
    """Return the next node of a walk, without a branch; the next node of a leaf is itself."""
    node = nodes[n]
    return node.left + (0 if doubled[node.feature] < node.threshold else 1)
