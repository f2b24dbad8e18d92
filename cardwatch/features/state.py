"""A card's state: a fixed number of bytes, under 2 KB, that the kernel updates with each transaction.

Each of the five windows is a ring of ten tiles and a running total, as in paned aggregation (Li and others, "No pane,
no gain", SIGMOD Record 2005): slot `tile % 10` holds the transactions of `tile = epoch_ms // tile_ms`, `newest` is the
latest tile, and tiles that leave the ring are subtracted from the total. Amounts are summed in integer minor units, so
no rounding error accumulates. Novelty uses small tables of the values used last. The layout is little-endian and
packed: the stores keep these bytes, which are the same on every machine.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS

WINDOWS_MS: Final = (10 * _MINUTE_MS, 60 * _MINUTE_MS, _DAY_MS, 7 * _DAY_MS, 30 * _DAY_MS)
TEN_MINUTES, HOUR, DAY, WEEK, MONTH = range(len(WINDOWS_MS))
"""Index of each window in `window_count`, `window_amount`, `newest`, `tile_count` and `tile_amount`."""
TILES: Final = 10
"""Tiles per window. A window covers between nine tenths of its length and its full length."""

SMALL_1H, REMOTE_1H, REMOTE_24H, CASH_24H, DECLINED_24H, NEW_MERCHANTS_24H = range(6)
COUNTER_WINDOWS: Final = (HOUR, HOUR, DAY, DAY, DAY, DAY)
"""The window of each counter that counts some transactions only."""
REMOTE_AMOUNT_24H, CASH_AMOUNT_24H = range(2)
SUM_WINDOWS: Final = (DAY, DAY)
"""The window of each sum over some transactions only."""

RECENT_IDS: Final = 16
"""Number of the newest transaction ids that a state keeps, to detect repeated transactions."""
MERCHANTS, DEVICES, CATEGORIES, COUNTRIES = 32, 8, 16, 12
"""Number of merchants, devices, categories and countries that a state keeps: the ones used last."""

STATE: Final = np.dtype(
    [
        ("sequence", "<i8"),  # transactions folded so far
        ("recent_ids", "<u8", (RECENT_IDS,)),  # hashes of the newest transaction ids, slot sequence % 16
        ("first_at_ms", "<i8"),  # the earliest and the latest event time
        ("last_at_ms", "<i8"),
        # amounts, ever
        ("amount_sum", "<i8"),
        ("amount_max", "<i8"),
        ("amount_last", "<i8"),
        ("amount_spread", "<f8"),  # Welford's sum of squared deviations, in minor units squared
        # newest event times, 0 for never
        ("small_at_ms", "<i8"),
        ("declined_at_ms", "<i8"),
        # windows
        ("newest", "<i8", (len(WINDOWS_MS),)),
        ("window_count", "<i8", (len(WINDOWS_MS),)),
        ("window_amount", "<i8", (len(WINDOWS_MS),)),
        ("window_counter", "<i8", (len(COUNTER_WINDOWS),)),
        ("window_sum", "<i8", (len(SUM_WINDOWS),)),
        ("tile_count", "<i4", (len(WINDOWS_MS), TILES)),
        ("tile_amount", "<i8", (len(WINDOWS_MS), TILES)),
        ("tile_counter", "<i4", (len(COUNTER_WINDOWS), TILES)),
        ("tile_sum", "<i8", (len(SUM_WINDOWS), TILES)),
        # habits, ever
        ("hours", "<i4", (24,)),
        ("weekdays", "<i4", (7,)),
        ("channels", "<i4", (6,)),
        # places
        ("last_latitude", "<f8"),
        ("last_longitude", "<f8"),
        ("last_place_at_ms", "<i8"),
        ("mean_latitude", "<f8"),
        ("mean_longitude", "<f8"),
        ("places", "<i8"),
        # novelty: values and the day since 1970 of their last use; `known` is the number of slots in use
        ("known", "<i4", (4,)),
        ("merchants", "<u4", (MERCHANTS,)),  # 32 bits of the hash: one in 130 million new ones collides
        ("merchant_days", "<u2", (MERCHANTS,)),
        ("devices", "<u4", (DEVICES,)),
        ("device_days", "<u2", (DEVICES,)),
        ("categories", "<u4", (CATEGORIES,)),
        ("category_days", "<u2", (CATEGORIES,)),
        ("countries", "<u4", (COUNTRIES,)),
        ("country_days", "<u2", (COUNTRIES,)),
    ]
)
assert STATE.itemsize <= 2048  # noqa: S101 (the design limits a state to 2 KB)


def empty_states(cards: int) -> NDArray[np.void]:
    """Return the states of new cards, dtype STATE [cards]."""
    return np.zeros(cards, STATE)
