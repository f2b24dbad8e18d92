"""Simulated transactions as numeric columns, with the fraud type that only the simulation knows."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
TransactionArray = NDArray[np.void]
"""A structured array of dtype `TRANSACTION`."""

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
NO_DEVICE: Final = -1
MIN_AMOUNT_MINOR: Final = 50

CHIP, CONTACTLESS, SWIPE, ECOMMERCE, ATM, RECURRING = range(6)
"""Positions in `cardwatch.events.Channel`."""


class FraudType(IntEnum):
    """The true class of a transaction: genuine, or the attack that it belongs to."""

    GENUINE = 0
    CARD_TESTING = 1
    STOLEN_CARD_DATA = 2
    COUNTERFEIT_CARD = 3
    ACCOUNT_TAKEOVER = 4
    DATA_BREACH = 5
    RELAY_ATTACK = 6


TRANSACTION: Final = np.dtype(
    [
        ("occurred_at_ms", "<i8"),
        ("amount_minor", "<i8"),
        ("card", "<i8"),
        ("merchant", "<i8"),
        ("device", "<i8"),
        ("channel", "<i1"),
        ("fraud_type", "<i1"),
    ]
)


def empty_transactions() -> TransactionArray:
    """Return an array without transactions."""
    return np.empty(0, TRANSACTION)


def transaction_array(
    *,
    occurred_at_ms: ArrayLike,
    amount_minor: ArrayLike,
    card: ArrayLike,
    merchant: Ints,
    device: ArrayLike,
    channel: ArrayLike,
    fraud_type: FraudType = FraudType.GENUINE,
) -> TransactionArray:
    """Return one transaction per element of `merchant`; the other columns have that length or are one value for all.

    Amounts below `MIN_AMOUNT_MINOR` are raised to it.
    """
    transactions = np.empty(len(merchant), TRANSACTION)
    transactions["occurred_at_ms"] = occurred_at_ms
    transactions["amount_minor"] = np.maximum(np.asarray(amount_minor), MIN_AMOUNT_MINOR)
    transactions["card"] = card
    transactions["merchant"] = merchant
    transactions["device"] = device
    transactions["channel"] = channel
    transactions["fraud_type"] = fraud_type
    return transactions
