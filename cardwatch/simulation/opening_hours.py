"""Opening hours of shops as fraudsters meet them: they wait for a shop to open, and find some closed for good."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.calendar_day import is_rest_day
from cardwatch.simulation.merchants import Merchants
from cardwatch.simulation.transaction_array import (
    CHIP,
    CONTACTLESS,
    DAY_MS,
    HOUR_MS,
    SWIPE,
    Ints,
    TransactionArray,
)

_EPOCH: Final = date(1970, 1, 1)
_HOURS_AFTER_OPENING: Final = 2.0
"""Largest delay after the opening of a shop, in hours: not all come in the first minute."""
_MAX_DAYS: Final = 5
"""More days than shops are closed in a row."""
_IN_SHOPS: Final = (CHIP, CONTACTLESS, SWIPE)


def wait_for_opening_hours(
    merchants: Merchants, rng: np.random.Generator, transactions: TransactionArray
) -> TransactionArray:
    """Return the transactions without those at merchants that have closed for good, and without any at a closed shop.

    A payment at a closed shop is made when the shop opens next, or up to two hours later.
    """
    possible: TransactionArray = transactions[merchants.is_trading[transactions["merchant"]]]
    waiting = np.flatnonzero(np.isin(possible["channel"], _IN_SHOPS))
    for _ in range(_MAX_DAYS):
        waiting = waiting[_move_to_opening(merchants, rng, possible, waiting)]
        if len(waiting) == 0:
            break
    return possible


def _move_to_opening(
    merchants: Merchants, rng: np.random.Generator, transactions: TransactionArray, rows: Ints
) -> NDArray[np.bool_]:
    """Move these rows to the next opening if their shop is closed; return which of them were moved."""
    merchant, times = transactions["merchant"][rows], transactions["occurred_at_ms"][rows]
    day = times // DAY_MS
    hours = (times - day * DAY_MS) / HOUR_MS
    until_open = merchants.hours_until_open(merchant, hours)
    delay = until_open + np.where(until_open > 0.0, rng.random(len(rows)) * _HOURS_AFTER_OPENING, 0.0)
    rests = _are_rest_days(day) & ~merchants.opens_on_rest_days[merchant]
    midnight = (day + 1) * DAY_MS - times  # what is open at midnight is open; what is not is moved in the next round
    moved_ms = np.where(rests, midnight, np.ceil(delay * HOUR_MS).astype(np.int64))
    transactions["occurred_at_ms"][rows] = times + moved_ms
    transactions["campaign_day"][rows] += ((times + moved_ms) // DAY_MS - day).astype(np.int16)
    moved: NDArray[np.bool_] = moved_ms > 0
    return moved


def _are_rest_days(days: Ints) -> NDArray[np.bool_]:
    """Return whether each day, counted from 1970-01-01, is a Sunday or a public holiday."""
    distinct, places = np.unique(days, return_inverse=True)
    rests = np.array([is_rest_day(_EPOCH + timedelta(days=day)) for day in distinct.tolist()], dtype=np.bool_)
    return rests[places]
