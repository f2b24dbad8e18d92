"""Segments of customers: how much, how often, where and when they spend."""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct

from cardwatch.simulation.calendar_day import NO_PAY_DAY


class Segment(Struct, frozen=True, kw_only=True):
    """A group of customers with similar habits.

    `share`: of all customers. `spending_level`, `daily_rate`, `ecommerce` and `travel` multiply the mean amount, number
    of transactions, online share and departures; `hours_later` is added to the usual hour of a purchase. `wallet_share`
    pay contactless with their phone. `pay_days`: the days of the month of which each customer has one. `subscriptions`:
    the mean number of subscriptions of a card.
    """

    name: str
    share: float
    spending_level: float
    daily_rate: float
    ecommerce: float
    travel: float
    hours_later: float
    wallet_share: float
    pay_days: tuple[int, ...]
    subscriptions: float


_EMPLOYEES_PAID: Final = (1, 10, 15, 20, 25, 27, 28)
"""Spread over the month, so that the total of a week rises and falls by a few per cent only."""

SEGMENTS: Final = (
    Segment(
        name="student",
        share=0.12,
        spending_level=0.65,
        daily_rate=0.90,
        ecommerce=1.35,
        travel=1.2,
        hours_later=1.2,
        wallet_share=0.65,
        pay_days=(1, 2, 15),
        subscriptions=2.4,
    ),
    Segment(
        name="employee",
        share=0.42,
        spending_level=1.00,
        daily_rate=1.00,
        ecommerce=1.05,
        travel=0.9,
        hours_later=0.3,
        wallet_share=0.45,
        pay_days=_EMPLOYEES_PAID,
        subscriptions=2.9,
    ),
    Segment(
        name="family",
        share=0.20,
        spending_level=1.15,
        daily_rate=1.25,
        ecommerce=1.00,
        travel=0.9,
        hours_later=0.0,
        wallet_share=0.40,
        pay_days=_EMPLOYEES_PAID,
        subscriptions=3.5,
    ),
    Segment(
        name="retired",
        share=0.18,
        spending_level=0.90,
        daily_rate=0.75,
        ecommerce=0.50,
        travel=1.0,
        hours_later=-1.6,
        wallet_share=0.12,
        pay_days=(1, 15, 28),
        subscriptions=1.8,
    ),
    Segment(
        name="self-employed",
        share=0.08,
        spending_level=1.30,
        daily_rate=1.10,
        ecommerce=1.15,
        travel=1.5,
        hours_later=0.4,
        wallet_share=0.50,
        pay_days=(NO_PAY_DAY,),
        subscriptions=3.5,
    ),
)
SHARES: Final = np.array([segment.share for segment in SEGMENTS])
SPENDING_LEVELS: Final = np.array([segment.spending_level for segment in SEGMENTS])
DAILY_RATES: Final = np.array([segment.daily_rate for segment in SEGMENTS])
ECOMMERCE_RATIOS: Final = np.array([segment.ecommerce for segment in SEGMENTS])
TRAVEL_RATIOS: Final = np.array([segment.travel for segment in SEGMENTS])
HOURS_LATER: Final = np.array([segment.hours_later for segment in SEGMENTS])
WALLET_SHARES: Final = np.array([segment.wallet_share for segment in SEGMENTS])
SUBSCRIPTIONS: Final = np.array([segment.subscriptions for segment in SEGMENTS])
