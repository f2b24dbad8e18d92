"""Features from the reference table: the merchant, the device, and the exposure of the card.

`table` is always the tuple `ReferenceTable.arrays`. A lookup is a binary search in one section.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.compiled import compiled
from cardwatch.features.feature_row import COLUMN
from cardwatch.features.novelty import day_of
from cardwatch.features.reference_table import (
    COMPROMISED_SECTION,
    DEVICE_SECTION,
    DEVICE_VALUES,
    FILTER_WORDS,
    MERCHANT_SECTION,
    MERCHANT_VALUES,
    SECTION_VALUES,
)

_WIDTHS: Final = tuple(len(columns) for columns in SECTION_VALUES)
_FRAUD_RUN: Final = MERCHANT_VALUES.index("fraud_run")
_MEAN_AMOUNT: Final = MERCHANT_VALUES.index("mean_amount_30d")
_NOT_FOUND: Final = -1
_NO_HASH: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_WORD_SHIFT, _WORD_MASK, _BIT_MASK = np.uint64(6), np.uint64(FILTER_WORDS - 1), np.uint64(63)


@compiled
def merchant(event, table, row):  # type: ignore[no-untyped-def]
    """Write the merchant's features. One that is not in the table has average risk, no fraud and no transactions."""
    values = table[1]
    at = _find(table, MERCHANT_SECTION, event.merchant_hash)
    for value in range(_MEAN_AMOUNT):
        if at != _NOT_FOUND:
            row[COLUMN.merchant_risk_recent + value] = values[at + value]
        elif value < _FRAUD_RUN - 1:
            row[COLUMN.merchant_risk_recent + value] = 1.0
        elif value >= _FRAUD_RUN:
            row[COLUMN.merchant_risk_recent + value] = 0.0
    if at != _NOT_FOUND and values[at + _MEAN_AMOUNT] > 0:
        row[COLUMN.amount_to_merchant_mean] = event.amount_minor / np.float64(values[at + _MEAN_AMOUNT])


@compiled
def device(event, table, row):  # type: ignore[no-untyped-def]
    """Write the device's features: missing without a device, 0 for one that the table does not have."""
    values = table[1]
    if event.device_hash != _NO_HASH:
        at = _find(table, DEVICE_SECTION, event.device_hash)
        for value in range(len(DEVICE_VALUES)):
            row[COLUMN.device_cards + value] = values[at + value] if at != _NOT_FOUND else 0.0


@compiled
def exposure(state, event, table, row):  # type: ignore[no-untyped-def]
    """Write the exposure of the card: how compromised the merchants are that its state remembers.

    It is computed from the state before the transaction and the table, and not stored: states depend on the log only.
    """
    _, values, _, filter_words = table
    greatest, found = 1.0, 0
    for slot in range(state.known[0]):
        low_bits = np.uint64(state.merchants[slot])
        word = filter_words[(low_bits >> _WORD_SHIFT) & _WORD_MASK]
        if (word >> (low_bits & _BIT_MASK)) & _ONE == _NO_HASH:
            continue
        at = _find(table, COMPROMISED_SECTION, low_bits)
        if at != _NOT_FOUND:
            found += 1
            if values[at] > greatest:
                greatest = np.float64(values[at])
                days = day_of(event.occurred_at_ms) - np.int64(state.merchant_days[slot])
                row[COLUMN.days_since_exposure] = max(days, 0)
    row[COLUMN.exposure] = greatest
    row[COLUMN.exposed_merchants] = found


@compiled
def _find(table, section, entity):  # type: ignore[no-untyped-def]
    """Return where the entity's values begin in the array of values, `_NOT_FOUND` if the section does not have it."""
    hashes, _, starts, _ = table
    first, stop = starts[section, 0], starts[section + 1, 0]
    low, high = first, stop
    while low < high:
        middle = (low + high) // 2
        if hashes[middle] < entity:
            low = middle + 1
        else:
            high = middle
    if low < stop and hashes[low] == entity:
        return starts[section, 1] + (low - first) * _WIDTHS[section]
    return np.int64(_NOT_FOUND)
