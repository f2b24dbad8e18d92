"""Simulated labels as numeric columns."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import LabelSource
from cardwatch.simulation.transaction_array import DAY_MS, Ints, TransactionArray

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
LabelArray = NDArray[np.void]
"""A structured array of dtype `LABEL`."""

SOURCES: Final = (LabelSource.CUSTOMER, LabelSource.CHARGEBACK, LabelSource.INVESTIGATOR)
"""The column `source` of `LABEL` holds an index of this tuple."""
CUSTOMER, CHARGEBACK, INVESTIGATOR = range(3)

LABEL: Final = np.dtype(
    [
        ("observed_at_ms", "<i8"),
        ("effective_at_ms", "<i8"),
        ("day", "<i8"),
        ("number", "<i8"),
        ("card", "<i8"),
        ("merchant_number", "<i8"),
        ("is_fraud", "?"),
        ("source", "<i1"),
    ]
)
"""Labels of transaction `number` of day number `day`."""


def label_array(
    day: int, transactions: TransactionArray, is_labelled: Flags, is_fraud: Flags, source: Ints, delay_days: Floats
) -> LabelArray:
    """Return one label of each transaction that `is_labelled`; the other arrays have a value per transaction."""
    number = np.flatnonzero(is_labelled)
    labelled = transactions[number]
    labels = np.empty(len(number), LABEL)
    labels["effective_at_ms"] = labelled["occurred_at_ms"]
    labels["observed_at_ms"] = labelled["occurred_at_ms"] + np.rint(delay_days[number] * DAY_MS).astype(np.int64)
    labels["day"], labels["number"] = day, number
    labels["card"], labels["merchant_number"] = labelled["card"], labelled["merchant_number"]
    labels["is_fraud"], labels["source"] = is_fraud[number], source[number]
    return labels
