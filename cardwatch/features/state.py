"""A card's state: a fixed 1.7 KB that the kernel folds transactions into.

Windows are rings of tiles: slot `tile % n` holds what fell into tile `tile = epoch_ms // tile_ms`, and one number
says which tile is the newest. Money is summed in integer minor units, so nothing drifts. The layout is little-endian
and packed: its bytes are what the stores keep, and the same on every machine.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

RECENT_IDS: Final = 16
RECENT_MERCHANTS: Final = 32
RECENT_DEVICES: Final = 8
CATEGORY_WORDS: Final = 8
COUNTRY_WORDS: Final = 11

HOUR_TILES, HOUR_TILE_MS = 12, 5 * 60_000
DAY_TILES, DAY_TILE_MS = 24, 60 * 60_000
WEEK_TILES, WEEK_TILE_MS = 14, 12 * 60 * 60_000

STATE: Final = np.dtype(
    [
        ("sequence", "<i8"),  # transactions folded so far
        ("recent_ids", "<u8", (RECENT_IDS,)),  # hashes of the newest transaction ids, slot sequence % 16
        ("first_at_ms", "<i8"),
        ("last_at_ms", "<i8"),  # the latest event time seen, which a late event does not move back
        # amounts, ever
        ("amount_sum", "<i8"),
        ("amount_max", "<i8"),
        ("amount_spread", "<f8"),  # Welford's sum of squared deviations, in minor units squared
        # windows
        ("hour_newest", "<i8"),
        ("hour_count", "<i4", (HOUR_TILES,)),
        ("hour_small", "<i4", (HOUR_TILES,)),
        ("hour_amount", "<i8", (HOUR_TILES,)),
        ("day_newest", "<i8"),
        ("day_count", "<i4", (DAY_TILES,)),
        ("day_online", "<i4", (DAY_TILES,)),
        ("day_declined", "<i4", (DAY_TILES,)),
        ("day_amount", "<i8", (DAY_TILES,)),
        ("week_newest", "<i8"),
        ("week_count", "<i4", (WEEK_TILES,)),
        ("week_amount", "<i8", (WEEK_TILES,)),
        # habits, ever
        ("hours", "<i4", (24,)),
        ("channels", "<i4", (6,)),
        # places
        ("last_latitude", "<f8"),
        ("last_longitude", "<f8"),
        ("last_place_at_ms", "<i8"),
        ("mean_latitude", "<f8"),
        ("mean_longitude", "<f8"),
        ("places", "<i8"),
        # novelty
        ("merchants", "<u8", (RECENT_MERCHANTS,)),
        ("merchants_seen", "<i8"),
        ("devices", "<u8", (RECENT_DEVICES,)),
        ("devices_seen", "<i8"),
        ("categories", "<u8", (CATEGORY_WORDS,)),
        ("countries", "<u8", (COUNTRY_WORDS,)),
    ]
)
assert STATE.itemsize <= 2048  # noqa: S101 (a promise of the design, checked when the layout is defined)


def empty_states(cards: int) -> NDArray[np.void]:
    """States of cards that were never seen."""
    return np.zeros(cards, STATE)
