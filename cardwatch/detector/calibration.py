"""Calibration: conversion of a model's margin to a probability by linear interpolation."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.compiled import compiled


class Calibration(Struct, frozen=True, kw_only=True):
    """A non-decreasing piecewise-linear function through (margin, probability) points, constant beyond its ends.

    It is evaluated with + - x / and comparisons only, so every machine gives the same bits.

    >>> Calibration(margins=[-2.0, 2.0], probabilities=[0.1, 0.9]).apply(np.array([-5, 0, 5], np.float32)).tolist()
    [0.1, 0.5, 0.9]
    """

    margins: list[float]
    probabilities: list[float]

    def __post_init__(self) -> None:
        """Raise `ValueError` unless margins increase, probabilities do not decrease, and all lie in 0..1."""
        margins, probabilities = np.array(self.margins), np.array(self.probabilities)
        if len(margins) != len(probabilities) or len(margins) < 2:
            raise ValueError("a calibration table needs two points or more, each a margin and a probability")
        if not (np.all(np.diff(margins) > 0) and np.all(np.diff(probabilities) >= 0) and np.all(np.isfinite(margins))):
            raise ValueError("a calibration table must rise")
        if not (probabilities[0] >= 0.0 and probabilities[-1] <= 1.0):
            raise ValueError("a calibration table must stay between 0 and 1")

    def apply(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities, float64 [n] in 0..1, of margins, float32 [n]; higher margins never get less."""
        return interpolate(np.array(self.margins), np.array(self.probabilities), margins)


def interpolate(x: NDArray[np.float64], y: NDArray[np.float64], margins: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what `Calibration.apply` does, for margins `x` and probabilities `y` as float64 [points] arrays."""
    probabilities = np.empty(len(margins), np.float64)
    _interpolate(x, y, margins, probabilities)
    return probabilities


@compiled
def _interpolate(x, y, margins, probabilities):  # type: ignore[no-untyped-def]
    for i in range(len(margins)):
        probabilities[i] = probability_of(x, y, margins[i])


@compiled
def probability_of(x, y, margin):  # type: ignore[no-untyped-def]
    """Return the value at one margin of the function through the points `x`, `y`."""
    at = min(max(np.float64(margin), x[0]), x[-1])
    left = min(np.searchsorted(x, at, side="right") - 1, len(x) - 2)
    share = (at - x[left]) / (x[left + 1] - x[left])
    return min(y[left] + (y[left + 1] - y[left]) * share, y[left + 1])
