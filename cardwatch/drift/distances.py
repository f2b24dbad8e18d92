"""Distance between two samples of one column: how far its distribution has moved.

The same numbers as Evidently's `wasserstein` and `jensenshannon`, without its plots, which take ten times as long.
`monitoring.evidently_report` has Evidently compute those that count, and a test compares them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST_DEVIATION: Final = 0.001
"""Least standard deviation that a distance is divided by, as in Evidently: a constant column would divide by 0."""

Values = NDArray[np.float64]


def normed_wasserstein(reference: Values, current: Values) -> float:
    """Return the first Wasserstein distance between two samples over the standard deviation of `reference`.

    Both are sorted, finite and not empty. 0 is for equal samples; 0.1 is a shift of all values by a tenth of a standard
    deviation. The distance is the area between the two empirical distribution functions (Vallender, "Calculation of the
    Wasserstein distance between probability distributions on the line", 1974).

    >>> normed_wasserstein(np.array([-1.0, 1.0]), np.array([0.0, 2.0]))
    1.0
    """
    values = np.sort(np.concatenate([reference, current]), kind="stable")
    widths = np.diff(values)
    shares = [np.searchsorted(sample, values[:-1], side="right") / len(sample) for sample in (reference, current)]
    area = float(np.sum(np.abs(shares[0] - shares[1]) * widths))
    return area / max(float(np.std(reference)), _LEAST_DEVIATION)


def jensen_shannon(reference: Values, current: Values) -> float:
    """Return the Jensen-Shannon distance of the shares of each distinct value, for codes; 0 to 0.83, the root of ln 2.

    Both samples are not empty, in any order. Source: Endres and Schindelin, "A new metric for probability
    distributions", IEEE Transactions on Information Theory 49 (2003).

    >>> jensen_shannon(np.array([1.0, 2.0]), np.array([2.0, 1.0]))
    0.0
    """
    codes, positions = np.unique(np.concatenate([reference, current]), return_inverse=True)
    shares = [
        np.bincount(part, minlength=len(codes)) / len(part)
        for part in (positions[: len(reference)], positions[len(reference) :])
    ]
    middle = (shares[0] + shares[1]) / 2
    divergence = sum(float(np.sum(share[share > 0] * np.log(share[share > 0] / middle[share > 0]))) for share in shares)
    return float(np.sqrt(max(divergence / 2, 0.0)))
