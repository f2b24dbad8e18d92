"""Slices of the judged rows: parts in which a challenger must not be worse, even if it is better on the whole."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.definitions import column

UNKNOWN: Final = ""
"""The slice of rows whose slice is not known. It is neither reported nor a requirement."""
NEW_CARD_TRANSACTIONS: Final = 20
"""Transactions before the judged one below which a card is new: its habits are not known yet."""

_CHANNELS: Final = ("chip", "contactless", "swipe", "ecommerce", "atm", "recurring")
_AMOUNT_BANDS: Final = ((10.0, "below 10"), (50.0, "10 to 50"), (200.0, "50 to 200"), (np.inf, "200 and more"))
"""Upper ends in major units, and names."""
_CATEGORY_GROUPS: Final = (
    (1500, "agriculture"),
    (3000, "contracted services"),
    (4000, "travel"),
    (4800, "transport"),
    (5000, "utilities and telecommunication"),
    (5600, "retail"),
    (5700, "clothing"),
    (6000, "other shops"),
    (7000, "cash and finance"),
    (8000, "leisure and services"),
    (9000, "professions"),
    (10000, "government"),
)
"""Ends of the ranges of merchant categories, after the ranges of ISO 18245."""


def slices_of(features: NDArray[np.float32]) -> dict[str, NDArray[np.str_]]:
    """Return the slice of each feature row, text [n], by the name of the division.

    >>> from cardwatch.features.definitions import FEATURES
    >>> rows = np.zeros((1, len(FEATURES)), np.float32)
    >>> rows[0, [column("is_atm"), column("amount"), column("merchant_category")]] = 1.0, 80.0, 6011.0
    >>> {division: names.tolist() for division, names in slices_of(rows).items()}
    {'channel': ['atm'], 'category': ['cash and finance'], 'amount': ['50 to 200'], 'card': ['new']}
    """
    flags = features[:, [column(f"is_{channel}") for channel in _CHANNELS]]
    channel = np.array(_CHANNELS)[np.argmax(flags, axis=1)]
    return {
        "channel": np.where(flags.any(axis=1), channel, UNKNOWN),
        "category": _in_ranges(features[:, column("merchant_category")], _CATEGORY_GROUPS),
        "amount": _in_ranges(features[:, column("amount")], _AMOUNT_BANDS),
        "card": np.where(features[:, column("history_length")] < NEW_CARD_TRANSACTIONS, "new", "known"),
    }


def _in_ranges(values: NDArray[np.float32], ranges: tuple[tuple[float, str], ...]) -> NDArray[np.str_]:
    """The name of the range of each value; `UNKNOWN` for NaN and for values beyond the last range."""
    names: NDArray[Any] = np.array([*(name for _, name in ranges), UNKNOWN])
    places = np.searchsorted([end for end, _ in ranges], values, side="right")
    return names[np.where(np.isnan(values), len(ranges), places)]
