"""Novelty: small tables of the merchants, devices, categories and countries that a card used last."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.compiled import compiled
from cardwatch.features.reference_table import DAY_MS

NEVER: Final = -1


@compiled
def day_of(at_ms):  # type: ignore[no-untyped-def]
    """Return the day since 1970 as a state stores it: 0 to 65,535, which is in the year 2149."""
    return min(max(at_ms // DAY_MS, 0), 65_535)


@compiled
def update_last_use(values, days, known, table, value, day):  # type: ignore[no-untyped-def]
    """Return the day on which `value` was last used, or `NEVER`, and store `day` for it.

    `values` and `days` have `known[table]` slots in use. If all are, the value that was unused for longest is replaced.
    """
    oldest = 0
    for slot in range(known[table]):
        if values[slot] == value:
            last_day = np.int64(days[slot])
            days[slot] = max(last_day, day)
            return last_day
        if days[slot] < days[oldest]:
            oldest = slot
    if known[table] < len(values):
        oldest = known[table]
        known[table] += 1
    values[oldest] = value
    days[oldest] = day
    return np.int64(NEVER)
