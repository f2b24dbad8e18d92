"""How good scores and probabilities are on weighted rows: ranking, calibration, alerts, cost."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

BINS: Final = 10
"""Bins of the expected calibration error, with equal weights of rows in each."""


class ScoreQuality(Struct, frozen=True, kw_only=True):
    """Quality of one model on the judged rows; None where the rows cannot give it. All counts are sums of weights.

    `average_precision` and `recall` (at a false-positive rate of at most 0.1 %) lie in 0..1; higher is better.
    `brier` is the mean squared error of the probabilities, `calibration_error` the mean distance of probabilities and
    fraud rates over bins; lower is better. `cost_minor` is the cost of the decisions in minor units, `relative_cost`
    the same over the cost of approving everything. `expected_frauds` is the sum of the probabilities. `alert_precision`
    is the share of alerts (challenges and declines) that are fraud.
    """

    average_precision: float | None
    recall: float | None
    brier: float
    calibration_error: float
    expected_frauds: float
    weighted_frauds: float
    alerts: float
    alert_precision: float | None
    cost_minor: float
    relative_cost: float | None


def average_precision(
    scores: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_], weight: NDArray[np.float64]
) -> float | None:
    """Return the average precision, 0..1, None without fraud. Rows with equal scores are alerted together.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), np.ones(3))
    0.8333333333333333
    """
    if not is_fraud.any():
        return None
    found, alerts = _cumulated(scores, is_fraud, weight)
    with np.errstate(invalid="ignore"):
        precision = np.where(alerts > 0, found / alerts, 0.0)
    return min(1.0, float((np.diff(found, prepend=0.0) * precision).sum() / found[-1]))  # rounding may exceed 1


def roc_auc(
    scores: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_], weight: NDArray[np.float64]
) -> float | None:
    """Return the area under the ROC curve, 0..1, None without fraud or genuine rows.

    It is the probability that a fraud has a higher score than a genuine row; equal scores count half.

    >>> roc_auc(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), np.ones(3))
    0.5
    """
    if not is_fraud.any() or is_fraud.all():
        return None
    found, alerts = _cumulated(scores, is_fraud, weight)
    recall, false_alerts = found / found[-1], alerts - found
    width = np.diff(false_alerts, prepend=0.0) / false_alerts[-1]
    height = (recall + np.append(0.0, recall[:-1])) / 2.0
    return min(1.0, float((width * height).sum()))


def recall_at_false_positive_rate(
    scores: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_], weight: NDArray[np.float64], rate: float
) -> float | None:
    """Return the recall at the threshold with at most this share of false positives; None without fraud or genuine."""
    if not is_fraud.any() or is_fraud.all():
        return None
    found, alerts = _cumulated(scores, is_fraud, weight)
    false_alerts = alerts - found
    allowed = false_alerts <= rate * false_alerts[-1] * (1.0 + 1e-12)
    return float(found[allowed].max(initial=0.0) / found[-1])


def brier_score(probabilities: NDArray[np.float64], is_fraud: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    """Return the mean squared error of probabilities (Brier 1950), 0 is perfect.

    >>> brier_score(np.array([0.5, 1.0]), np.array([True, True]), np.ones(2))
    0.125
    """
    return float(np.average((probabilities - is_fraud) ** 2, weights=weight))


def expected_calibration_error(
    probabilities: NDArray[np.float64], is_fraud: NDArray[np.bool_], weight: NDArray[np.float64], bins: int = BINS
) -> float:
    """Return the mean over `bins` bins of |mean probability - fraud rate| (Naeini et al. 2015), 0..1, 0 is perfect.

    The bins hold about equal numbers of rows, because nearly all probabilities of fraud are small. Rows with equal
    probabilities share a bin.
    """
    places = np.unique(probabilities, return_inverse=True)[1]
    of_value = np.bincount(places, weight)
    middle = np.cumsum(of_value) - 0.5 * of_value
    bin_of_row = np.minimum((middle / of_value.sum() * bins).astype(np.int64), bins - 1)[places]
    gaps = np.bincount(bin_of_row, weight * (probabilities - is_fraud), minlength=bins)
    return float(np.abs(gaps).sum() / weight.sum())


def measure_quality(
    *,
    margins: NDArray[np.float32],
    probabilities: NDArray[np.float64],
    alert_share: NDArray[np.float64],
    cost_minor: NDArray[np.float64],
    approval_cost_minor: NDArray[np.float64],
    is_fraud: NDArray[np.bool_],
    weight: NDArray[np.float64],
) -> ScoreQuality:
    """Return the quality of a model on n rows, of which there is at least one. Costs include the weight.

    `alert_share`: the probability with which each row is an alert, float64 [n], see `Evidence.alert_shares`.
    """
    cost, of_approval = math.fsum(cost_minor), math.fsum(approval_cost_minor)
    alert_weight = weight * alert_share
    alerts = math.fsum(alert_weight)
    return ScoreQuality(
        average_precision=average_precision(margins, is_fraud, weight),
        recall=recall_at_false_positive_rate(margins, is_fraud, weight, 0.001),
        brier=brier_score(probabilities, is_fraud, weight),
        calibration_error=expected_calibration_error(probabilities, is_fraud, weight),
        expected_frauds=math.fsum(probabilities * weight),
        weighted_frauds=math.fsum(weight[is_fraud]),
        alerts=alerts,
        alert_precision=math.fsum(alert_weight[is_fraud]) / alerts if alerts > 0 else None,
        cost_minor=cost,
        relative_cost=cost / of_approval if of_approval > 0 else None,
    )


def _cumulated(
    scores: NDArray[np.floating[Any]], is_fraud: NDArray[np.bool_], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of found frauds and of alerts at each distinct threshold, from the highest score to the lowest."""
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    scores = scores[order]
    last_of_ties = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    alerts = np.cumsum(weight[order])[last_of_ties]
    found = np.cumsum(weight[order] * is_fraud[order])[last_of_ties]
    return found, alerts
