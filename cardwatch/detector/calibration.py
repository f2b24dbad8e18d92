"""From a model's margin to a probability, by a table of points."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.compiled import compiled


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
        if not (np.all(np.diff(margins) > 0) and np.all(np.diff(probabilities) >= 0) and np.all(np.isfinite(margins))):
            raise ValueError("a calibration table must rise")
        if not (probabilities[0] >= 0.0 and probabilities[-1] <= 1.0):
            raise ValueError("a calibration table must stay between 0 and 1")

    def apply(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities in 0..1; a riskier margin never has a lower one."""
        return interpolate(np.array(self.margins), np.array(self.probabilities), margins)


def interpolate(x: NDArray[np.float64], y: NDArray[np.float64], margins: NDArray[np.float32]) -> NDArray[np.float64]:
    """`Calibration.apply` for a table that is two arrays already, float64 [points] each."""
    probabilities = np.empty(len(margins), np.float64)
    _interpolate(x, y, margins, probabilities)
    return probabilities


@compiled
def _interpolate(x, y, margins, probabilities):  # type: ignore[no-untyped-def]
    for i in range(len(margins)):
        at = min(max(np.float64(margins[i]), x[0]), x[-1])
        left = min(np.searchsorted(x, at, side="right") - 1, len(x) - 2)
        share = (at - x[left]) / (x[left + 1] - x[left])
        probabilities[i] = min(y[left] + (y[left + 1] - y[left]) * share, y[left + 1])
