"""Simulated transactions as numeric columns, with the truth that only the simulation knows."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
TransactionArray = NDArray[np.void]
"""A structured array of dtype `TRANSACTION`."""

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
NO_DEVICE: Final = -1
MIN_AMOUNT_MINOR: Final = 50
CONTACTLESS_LIMIT_MINOR: Final = 5_000

CHIP, CONTACTLESS, SWIPE, ECOMMERCE, ATM, RECURRING = range(6)
"""Positions in `cardwatch.events.Channel`."""
PRESENT: Final = (CHIP, CONTACTLESS, SWIPE, ATM)
"""Channels in which the card is present, so that the place is known."""
UNKNOWN, APPROVED, DECLINED = range(3)
"""The outcome of a card's previous attempt."""


class Typology(IntEnum):
    """The true class of a transaction: genuine, or the typology of fraud that it belongs to."""

    GENUINE = 0
    CARD_TESTING = 1
    ENUMERATION = 2
    STOLEN_CARD_DATA = 3
    ACCOUNT_TAKEOVER = 4
    LOST_STOLEN_CARD = 5
    SKIMMING = 6
    COUNTERFEIT_CARD = 7
    MERCHANT_COLLUSION = 8
    BUST_OUT = 9
    FRIENDLY_FRAUD = 10
    RELAY_ATTACK = 11


TRANSACTION: Final = np.dtype(
    [
        ("occurred_at_ms", "<i8"),
        ("amount_minor", "<i8"),
        ("card", "<i8"),
        ("merchant", "<i8"),
        ("merchant_number", "<i8"),
        ("number", "<i4"),
        ("category", "<i2"),
        ("device", "<i8"),
        ("channel", "<i1"),
        ("previous_outcome", "<i1"),
        ("has_place", "?"),
        ("has_customer", "?"),
        ("has_range", "?"),
        ("typology", "<i1"),
        ("campaign_day", "<i2"),
        ("campaign", "<i4"),
        ("group", "<i4"),
        ("tactic", "<i1"),
    ]
)
"""`merchant` is an index, `merchant_number` the number behind the merchant id of that day, `category` the merchant's
code as a number; `number` counts the transactions of a day; `device` is `NO_DEVICE` or a number, `channel` a position
in `cardwatch.events.Channel`, `previous_outcome` one of `UNKNOWN`, `APPROVED`, `DECLINED`. `has_...`: whether the
record has place, customer and range.

The last five columns are the truth. `campaign` is the number of the fraudsters' campaign, from 1 on, and
`campaign_day` counts its days from 0. `group` counts the groups of a typology: campaigns of a group follow each other.
`tactic` is what the group chose, see `reactions`. All of them are 0 for genuine transactions."""


_BYTES: Final = np.dtype(f"V{TRANSACTION.itemsize}")


def empty_transactions() -> TransactionArray:
    """Return an array without transactions."""
    return np.empty(0, TRANSACTION)


def joined(parts: Sequence[TransactionArray]) -> TransactionArray:
    """Return the transactions of all parts in one array."""
    # As plain bytes: numpy copies the fields of a record one by one, which takes twenty times as long.
    return np.concatenate([part.view(_BYTES) for part in parts]).view(TRANSACTION)


def transaction_array(
    *,
    occurred_at_ms: ArrayLike,
    amount_minor: ArrayLike,
    card: ArrayLike,
    merchant: Ints,
    device: ArrayLike,
    channel: ArrayLike,
) -> TransactionArray:
    """Return one transaction per element of `merchant`; the other columns have that length or are one value for all.

    They are genuine until an attack marks them; what the end of the day sets is 0 until then. Amounts below
    `MIN_AMOUNT_MINOR` are raised to it.
    """
    transactions = np.zeros(len(merchant), TRANSACTION)
    transactions["occurred_at_ms"] = occurred_at_ms
    transactions["amount_minor"] = np.maximum(np.asarray(amount_minor), MIN_AMOUNT_MINOR)
    transactions["card"] = card
    transactions["merchant"] = merchant
    transactions["device"] = device
    transactions["channel"] = channel
    return transactions
