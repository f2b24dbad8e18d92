"""Calibration of margins to fraud probabilities by isotonic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from cardwatch.detector.calibration import Calibration


def fit_calibration(margins: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_]) -> Calibration:
    """Fit an isotonic regression (Zadrozny and Elkan 2002) of `is_fraud` on `margins`, both of shape [n].

    A higher margin never has a lower probability. Probabilities are clipped to [1 / (n + 2), 1 - 1 / (frauds + 2)], so
    that a finite sample never gives 0 or 1.
    """
    isotonic = IsotonicRegression(out_of_bounds="clip")
    isotonic.fit(margins.astype(np.float64), is_fraud.astype(np.float64))
    lowest, highest = 1.0 / (len(is_fraud) + 2), 1.0 - 1.0 / (int(is_fraud.sum()) + 2)
    x = isotonic.X_thresholds_.astype(np.float64)
    y = np.clip(isotonic.y_thresholds_.astype(np.float64), lowest, highest)
    if len(x) == 1:
        x, y = np.append(x, x[0] + 1.0), np.append(y, y[0])
    return Calibration(margins=x.tolist(), probabilities=y.tolist())
