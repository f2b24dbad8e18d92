"""Transactions before they are told to anyone: numbers in columns, and what only the simulator knows."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Drafts = NDArray[np.void]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
NO_DEVICE: Final = -1

CHIP, CONTACTLESS, SWIPE, ECOMMERCE, ATM, RECURRING = range(6)
"""Positions in `cardwatch.events.Channel`."""


class Kind(IntEnum):
    """What a transaction truly is. Only `GENUINE` is no fraud."""

    GENUINE = 0
    CARD_TESTING = 1
    STOLEN_CARD = 2
    COUNTERFEIT = 3
    TAKEOVER = 4
    BREACH = 5
    RELAY_RING = 6


DRAFT: Final = np.dtype(
    [
        ("occurred_ms", "<i8"),
        ("amount_minor", "<i8"),
        ("card", "<i8"),
        ("merchant", "<i8"),
        ("device", "<i8"),
        ("channel", "<i1"),
        ("kind", "<i1"),
    ]
)


def no_drafts() -> Drafts:
    """Nothing happens."""
    return np.empty(0, DRAFT)


def draft(
    *,
    occurred_ms: ArrayLike,
    amount_minor: ArrayLike,
    card: ArrayLike,
    merchant: Ints,
    device: ArrayLike,
    channel: ArrayLike,
    kind: Kind = Kind.GENUINE,
) -> Drafts:
    """Drafts of one kind, one for each merchant; the other columns are as long, or one value for all.

    The least amount is 0.50.
    """
    drafts = np.empty(len(merchant), DRAFT)
    drafts["occurred_ms"] = occurred_ms
    drafts["amount_minor"] = np.maximum(np.asarray(amount_minor), 50)
    drafts["card"] = card
    drafts["merchant"] = merchant
    drafts["device"] = device
    drafts["channel"] = channel
    drafts["kind"] = kind
    return drafts
