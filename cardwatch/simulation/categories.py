"""What merchants sell: categories of ISO 18245 with their habits, and with what a fraudster sees in them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from msgspec import Struct


class Trade(IntEnum):
    """How a merchant of a category meets its customers."""

    SHOP = 0
    ONLINE = 1
    ATM = 2
    SUBSCRIPTION = 3


class Category(Struct, frozen=True):
    """One merchant category.

    `typical_minor` is the median amount of an average card in euro cents, `spread` the standard deviation of
    its logarithm, `hour` the middle of its day in UTC, `visits` its weight among the categories of its trade,
    and `allure` what a fraudster finds in it: goods that are easy to sell on (1 is ordinary, higher attracts
    more).
    """

    code: str
    name: str
    trade: Trade
    typical_minor: float
    spread: float
    hour: float
    visits: float
    allure: float


CATEGORIES: Final = (
    Category("5411", "groceries", Trade.SHOP, 2600, 0.75, 16.0, 26, 0.5),
    Category("5499", "convenience stores", Trade.SHOP, 900, 0.70, 14.5, 9, 0.6),
    Category("5812", "restaurants", Trade.SHOP, 3200, 0.60, 18.5, 11, 0.5),
    Category("5814", "fast food", Trade.SHOP, 1100, 0.50, 13.5, 12, 0.4),
    Category("5813", "bars", Trade.SHOP, 1800, 0.60, 20.5, 4, 0.5),
    Category("5541", "service stations", Trade.SHOP, 4800, 0.45, 12.0, 8, 1.5),
    Category("5912", "drug stores", Trade.SHOP, 1600, 0.70, 14.0, 7, 0.6),
    Category("5311", "department stores", Trade.SHOP, 4500, 0.80, 15.0, 4, 2.0),
    Category("5651", "family clothing", Trade.SHOP, 4800, 0.70, 15.0, 5, 1.5),
    Category("5732", "electronics stores", Trade.SHOP, 12000, 0.95, 15.0, 2, 6.0),
    Category("5200", "home supply", Trade.SHOP, 4200, 0.85, 13.5, 3, 1.0),
    Category("5944", "jewellery and watches", Trade.SHOP, 14000, 0.95, 14.5, 0.6, 6.0),
    Category("4111", "local transport", Trade.SHOP, 420, 0.60, 10.5, 8, 0.2),
    Category("7230", "barbers and beauty", Trade.SHOP, 3000, 0.50, 13.5, 2.5, 0.5),
    Category("7011", "hotels", Trade.SHOP, 13000, 0.65, 13.0, 1.5, 2.0),
    Category("5262", "marketplaces", Trade.ONLINE, 3400, 0.90, 18.5, 26, 1.5),
    Category("5691", "clothing online", Trade.ONLINE, 5500, 0.70, 19.0, 14, 1.2),
    Category("5815", "digital media", Trade.ONLINE, 900, 0.60, 19.5, 12, 1.2),
    Category("5816", "digital games", Trade.ONLINE, 1200, 0.80, 19.5, 8, 2.5),
    Category("4121", "taxis by app", Trade.ONLINE, 1400, 0.55, 19.0, 10, 0.4),
    Category("4511", "airlines", Trade.ONLINE, 18000, 0.75, 16.0, 4, 2.5),
    Category("5045", "computers", Trade.ONLINE, 16000, 1.00, 17.0, 4, 6.0),
    Category("5947", "gift cards", Trade.ONLINE, 3500, 0.70, 17.0, 4, 5.0),
    Category("7995", "betting", Trade.ONLINE, 2800, 0.90, 20.5, 5, 2.0),
    Category("6051", "quasi cash", Trade.ONLINE, 9000, 1.00, 18.0, 2, 5.0),
    Category("6011", "cash machines", Trade.ATM, 7000, 0.60, 14.5, 1, 1.0),
    Category("4899", "streaming", Trade.SUBSCRIPTION, 1200, 0.35, 3.0, 10, 0.2),
    Category("4814", "telephone", Trade.SUBSCRIPTION, 2700, 0.40, 3.5, 8, 0.2),
    Category("6300", "insurance", Trade.SUBSCRIPTION, 4500, 0.60, 2.5, 5, 0.1),
    Category("7997", "sports clubs", Trade.SUBSCRIPTION, 3500, 0.40, 4.0, 4, 0.1),
)
CODES: Final = tuple(category.code for category in CATEGORIES)
TRADES: Final = np.array([category.trade for category in CATEGORIES])
TYPICAL_MINOR: Final = np.array([category.typical_minor for category in CATEGORIES])
SPREADS: Final = np.array([category.spread for category in CATEGORIES])
HOURS: Final = np.array([category.hour for category in CATEGORIES])
VISITS: Final = np.array([category.visits for category in CATEGORIES], dtype=float)
ALLURE: Final = np.array([category.allure for category in CATEGORIES])
