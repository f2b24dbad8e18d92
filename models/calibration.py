"""Calibration of margins to probabilities of fraud.

`fit_calibration` is strictly increasing: transactions with different margins have different probabilities, so alerts
can be ranked by them. It is beta calibration (Kull, Silva Filho and Flach 2017): a logistic regression of the labels on
the logarithms of a score and of its complement. With three parameters it is stable where fraud is rare.
`fit_isotonic` gives many rows the same probability, and is for scores of others, whose form is not known.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from cardwatch.detector.calibration import Calibration

REACH: Final = 25.0
"""Margins and log-odds of the table lie between minus and plus this number. Beyond, the probability is constant."""
STEP: Final = 0.125
"""Distance of the points. Straight lines between them differ from the curve by at most 0.2 % of the probability."""
MINIMUM_SLOPE: Final = 0.05
"""Minimum of both slopes, in log-odds of fraud per unit of the margin: a higher margin is always riskier."""
_SLOPE: Final = 1.0
_PENALTY: Final = 1.0
"""Slope that is assumed before any row is seen, and the weight of this assumption. Margins are log-odds already."""
_NEWTON_STEPS: Final = 100


class BetaCalibration(NamedTuple):
    """Log-odds of fraud `intercept + low * log(s) - high * log(1 - s)`, where s is the logistic function of the margin.

    `low` is the slope in the margin far below 0, `high` the slope far above.
    """

    intercept: float
    low: float
    high: float

    def log_odds(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of fraud of margins, float64 [n]; they increase with the margin.

        >>> BetaCalibration(-1.0, 1.0, 1.0).log_odds(np.array([-2.0, 0.0, 3.0])).tolist()
        [-3.0, -1.0, 2.0]
        """
        inputs = _inputs(margins)
        return self.intercept + self.low * inputs[:, 0] + self.high * inputs[:, 1]

    def to_table(self) -> Calibration:
        """Return the curve as points between which scorers interpolate."""
        x = np.arange(-REACH, REACH + STEP, STEP)
        log_odds = self.log_odds(x)
        within = np.abs(log_odds) <= REACH
        if within.sum() < 2:  # all margins are as good as certain
            return Calibration(margins=[-REACH, REACH], probabilities=_logistic(np.array([-REACH, REACH])).tolist())
        return Calibration(margins=x[within].tolist(), probabilities=_logistic(log_odds[within]).tolist())


def fit_calibration(
    margins: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_], weight: NDArray[np.floating[Any]] | None = None
) -> Calibration:
    """Fit a strictly increasing calibration of `is_fraud` on `margins`, all of shape [n]; n is at least 1.

    The margins should be those of rows that the trees have not seen. `weight` is how many rows each row stands for; 1
    by default. The order of the rows has no influence. If all rows have one class, the curve has the slope 1, and its
    value at the mean margin is the rate of these rows with half a row more of each class.
    """
    return fit_beta_calibration(margins, is_fraud, weight).to_table()


def fit_beta_calibration(
    margins: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_], weight: NDArray[np.floating[Any]] | None = None
) -> BetaCalibration:
    """Fit the three parameters; arguments as those of `fit_calibration`.

    A slope below `MINIMUM_SLOPE` is set to it, and the others are fitted again, as Kull and others do with slopes < 0.
    """
    weights = np.ones(len(is_fraud)) if weight is None else weight.astype(np.float64)
    order = np.lexsort((weights, is_fraud, margins))
    x, labels, weights = margins[order].astype(np.float64), is_fraud[order], weights[order]
    frauds, rows = float(weights[labels].sum()), float(weights.sum())
    columns = [np.ones(len(x)), *_inputs(x).T]
    if not 0.0 < frauds < rows:
        rate = (frauds + 0.5) / (rows + 1.0)
        centre = float(np.average(columns[1] + columns[2], weights=weights))
        return BetaCalibration(float(np.log(rate / (1.0 - rate))) - centre, _SLOPE, _SLOPE)
    parameters, free = np.array([0.0, _SLOPE, _SLOPE]), [0, 1, 2]
    while True:
        parameters = _fit_logistic(columns, parameters, free, labels, weights)
        too_small = [column for column in free if column and parameters[column] < MINIMUM_SLOPE]
        if not too_small:
            return BetaCalibration(*parameters.tolist())
        worst = min(too_small, key=lambda column: float(parameters[column]))
        parameters[worst] = MINIMUM_SLOPE
        free.remove(worst)


def fit_isotonic(margins: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_]) -> Calibration:
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


def _fit_logistic(
    columns: list[NDArray[np.float64]],
    start: NDArray[np.float64],
    free: list[int],
    labels: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the parameters, float64 [3], of which those in `free` minimise the penalised loss, by Newton's method.

    Steps that do not lower the loss are halved; the loss is convex. Sums are numpy's own, not those of a linear algebra
    library, whose last bits depend on its threads.
    """
    parameters, penalty = start.copy(), np.array([0.0, _PENALTY, _PENALTY])

    def loss_and_odds(candidate: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = sum((value * column for value, column in zip(candidate, columns, strict=True)), np.zeros(len(labels)))
        losses = weights * np.logaddexp(0.0, np.where(labels, -odds, odds))
        return float(losses.sum() + 0.5 * (penalty * (candidate - _SLOPE) ** 2).sum()), odds

    loss, odds = loss_and_odds(parameters)
    for _ in range(_NEWTON_STEPS):
        predicted = _logistic(odds)
        error, spread = weights * (labels - predicted), weights * predicted * (1.0 - predicted)
        gradient = np.array([(columns[i] * error).sum() for i in free]) - (penalty * (parameters - _SLOPE))[free]
        curvature = np.array([[(columns[i] * columns[j] * spread).sum() for j in free] for i in free])
        step = np.linalg.solve(curvature + np.diag(penalty[free] + 1e-9), gradient)
        for _ in range(50):
            candidate = parameters.copy()
            candidate[free] += step
            new_loss, new_odds = loss_and_odds(candidate)
            if new_loss <= loss:
                break
            step /= 2.0
        improved = loss - new_loss
        if not improved > 0.0:
            return parameters
        parameters, loss, odds = candidate, new_loss, new_odds
        if improved < 1e-12 * max(loss, 1.0):
            return parameters
    return parameters


def _inputs(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(s) and -log(1 - s) of the logistic function s of each margin, float64 [n, 2]."""
    return np.stack([-np.logaddexp(0.0, -margins), np.logaddexp(0.0, margins)], axis=1)


def _logistic(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0.0, -log_odds))
