"""From a model's margin to a probability: isotonic regression, kept as a table of points."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression


class Calibration(Struct, frozen=True, kw_only=True):
    """A rising piecewise-linear function through (margin, probability) points, constant beyond its ends.

    It is evaluated with + - x / and comparisons, one rounded step at a time, so every machine gives the same bits.
    """

    margins: list[float]
    probabilities: list[float]

    def __post_init__(self) -> None:
        """Refuse, with `ValueError`, a table that does not rise or does not stay in 0..1."""
        margins, probabilities = np.array(self.margins), np.array(self.probabilities)
        if len(margins) != len(probabilities) or len(margins) < 2:
            raise ValueError("a calibration table needs two points or more, each a margin and a probability")
        if not (np.all(np.diff(margins) > 0) and np.all(np.diff(probabilities) >= 0)):
            raise ValueError("a calibration table must rise")
        if not (probabilities[0] >= 0.0 and probabilities[-1] <= 1.0):
            raise ValueError("a calibration table must stay between 0 and 1")

    def apply(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities in 0..1; a riskier margin never has a lower one."""
        x, y = np.array(self.margins), np.array(self.probabilities)
        at = np.clip(margins.astype(np.float64), x[0], x[-1])
        left = np.minimum(np.searchsorted(x, at, side="right") - 1, len(x) - 2)
        rise = y[left + 1] - y[left]
        share = (at - x[left]) / (x[left + 1] - x[left])
        probabilities: NDArray[np.float64] = np.minimum(y[left] + rise * share, y[left + 1])
        return probabilities


def fit_calibration(margins: NDArray[np.float32], is_fraud: NDArray[np.bool_]) -> Calibration:
    """The isotonic fit of fraud on margin. It never says 0 or 1: the ends are what n + 2 rows could show at most."""
    isotonic = IsotonicRegression(out_of_bounds="clip")
    isotonic.fit(margins.astype(np.float64), is_fraud.astype(np.float64))
    lowest, highest = 1.0 / (len(is_fraud) + 2), 1.0 - 1.0 / (int(is_fraud.sum()) + 2)
    x = isotonic.X_thresholds_.astype(np.float64)
    y = np.clip(isotonic.y_thresholds_.astype(np.float64), lowest, highest)
    if len(x) == 1:
        x, y = np.append(x, x[0] + 1.0), np.append(y, y[0])
    return Calibration(margins=x.tolist(), probabilities=y.tolist())
