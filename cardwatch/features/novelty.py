"""What a card has met: small tables of the merchants, devices, categories and countries that it used last."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.compiled import compiled
from cardwatch.features.reference_table import DAY_MS

NEVER: Final = -1


@compiled
def day_of(at_ms):  # type: ignore[no-untyped-def]
    """The day since 1970 as a state holds it: 0 to 65,535, which is the year 2149."""
    return min(max(at_ms // DAY_MS, 0), 65_535)


@compiled
def meet(names, days, known, which, name, day):  # type: ignore[no-untyped-def]
    """The day when `name` was last met, or -1. It is remembered for `day`, if need be in the place of the oldest."""
    oldest = 0
    for slot in range(known[which]):
        if names[slot] == name:
            met = np.int64(days[slot])
            days[slot] = max(met, day)
            return met
        if days[slot] < days[oldest]:
            oldest = slot
    if known[which] < len(names):
        oldest = known[which]
        known[which] += 1
    names[oldest] = name
    days[oldest] = day
    return np.int64(NEVER)
