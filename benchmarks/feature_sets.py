"""Two sets of features for one data set: those of the kernel, and those from before features looked beyond the card."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURES, column
from cardwatch.features.reference_statistics import MIN_BASE_RATE
from models.prequential import DAY_MS

NEW_FAMILIES: Final = ("exposure", "device")
NEW_MERCHANT_FEATURES: Final = (
    "merchant_risk_recent",
    "merchant_risk_7d",
    "merchant_risk_30d",
    "merchant_days_since_fraud",
    "merchant_fraud_run",
    "merchant_fraud_run_days",
    "merchant_fraud_run_local",
    "merchant_fraud_cards",
)
EARLIER_WINDOWS_DAYS: Final = (1, 7, 30)
EARLIER_PRIOR_TRANSACTIONS: Final = 200.0
"""The shrinkage of the earlier risks: transactions with which a merchant's own rate weighs as much as the base rate."""

_NEW_COLUMNS: Final = [
    *(position for position, feature in enumerate(FEATURES) if feature.family in NEW_FAMILIES),
    *(column(name) for name in NEW_MERCHANT_FEATURES),
]
_RISK_COLUMNS: Final = [column(name) for name in NEW_MERCHANT_FEATURES[: len(EARLIER_WINDOWS_DAYS)]]


def earlier_rows(features: NDArray[np.float32], risks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy of n feature rows with the features from before: the new ones are missing.

    `risks`: float32 [n, 3], the merchant's risks of `earlier_merchant_risks`. They take the places of three new ones.
    """
    rows = features.copy()
    rows[:, _NEW_COLUMNS] = np.nan
    rows[:, _RISK_COLUMNS] = risks
    return rows


def earlier_merchant_risks(
    merchants: NDArray[np.int64],
    days: NDArray[np.int64],
    is_fraud: NDArray[np.bool_],
    observed_at_ms: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the earlier risks of each transaction's merchant, float32 [n, 3]: of 1, 7 and 30 days before its day.

    The fraud that became known in the window, over the transactions of the window, shrunk toward the base rate and over
    it. A merchant without a transaction in 30 days has risk 1. `merchants`: numbers from 0; `days`: days since 1970,
    ascending; all have shape [n].
    """
    numbers, first = days - days[0], int(days[0])
    shape = int(numbers[-1]) + 1, int(merchants.max()) + 1
    reported = observed_at_ms[is_fraud] // DAY_MS - first
    is_within = reported < shape[0]
    counts = _before(shape, numbers, merchants)
    frauds = _before(shape, reported[is_within], merchants[is_fraud][is_within])
    is_listed = _within(counts, max(EARLIER_WINDOWS_DAYS)) > 0
    risks = np.empty((len(days), len(EARLIER_WINDOWS_DAYS)), np.float32)
    for number, window in enumerate(EARLIER_WINDOWS_DAYS):
        of_window, known = (np.where(is_listed, _within(totals, window), 0) for totals in (counts, frauds))
        base = known.sum(axis=1, keepdims=True) / np.maximum(of_window.sum(axis=1, keepdims=True), 1)
        base = np.maximum(base, MIN_BASE_RATE)
        prior = EARLIER_PRIOR_TRANSACTIONS
        risks[:, number] = ((known + prior * base) / (of_window + prior) / base)[numbers, merchants]
    return risks


def _before(shape: tuple[int, int], days: NDArray[np.int64], merchants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of these rows each merchant has before each day, int64 [days, merchants]."""
    totals = np.zeros((shape[0] + 1, shape[1]), np.int64)
    np.add.at(totals, (days + 1, merchants), 1)
    return np.cumsum(totals, axis=0)[:-1]


def _within(before: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """Return how many there are within the `window` days before each day."""
    counts = before.copy()
    counts[window:] -= before[:-window]
    return counts
