"""Merchant categories (ISO 18245): amounts, hours, popularity, and how attractive they are to fraudsters."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from msgspec import Struct


class MerchantType(IntEnum):
    """How a merchant of a category sells."""

    SHOP = 0
    ONLINE = 1
    ATM = 2
    SUBSCRIPTION = 3


class Category(Struct, frozen=True):
    """One merchant category.

    `typical_minor` is the median amount of an average card in euro cents, `spread` the standard deviation of its
    logarithm, `hour` the typical hour of purchase in UTC, `weight` its weight among the categories of its type, and
    `fraud_weight` its weight as a target of fraud: goods that are easy to resell (1 is average, higher attracts more).
    Shops are open from the hour `opens` to the hour `closes` in UTC, after midnight if that exceeds 24, and a share
    `rest_day_share` of them on Sundays and public holidays as well.
    """

    code: str
    name: str
    merchant_type: MerchantType
    typical_minor: float
    spread: float
    hour: float
    weight: float
    fraud_weight: float
    opens: float
    closes: float
    rest_day_share: float


CATEGORIES: Final = (
    Category("5411", "groceries", MerchantType.SHOP, 2300, 0.70, 16.0, 26, 0.5, 7, 21, 0.35),
    Category("5499", "convenience stores", MerchantType.SHOP, 900, 0.70, 14.5, 9, 0.6, 6, 23, 0.8),
    Category("5812", "restaurants", MerchantType.SHOP, 2900, 0.55, 18.5, 11, 0.5, 11, 24, 0.85),
    Category("5814", "fast food", MerchantType.SHOP, 1100, 0.50, 13.5, 12, 0.4, 9, 24, 0.9),
    Category("5813", "bars", MerchantType.SHOP, 1800, 0.60, 20.5, 4, 0.5, 15, 26, 0.85),
    Category("5541", "service stations", MerchantType.SHOP, 4600, 0.40, 12.0, 8, 1.5, 0, 24, 1),
    Category("5912", "drug stores", MerchantType.SHOP, 1600, 0.70, 14.0, 7, 0.6, 8, 20, 0.3),
    Category("5311", "department stores", MerchantType.SHOP, 3800, 0.70, 15.0, 4, 2.0, 9, 20, 0.3),
    Category("5651", "family clothing", MerchantType.SHOP, 4300, 0.65, 15.0, 5, 1.5, 9, 20, 0.25),
    Category("5732", "electronics stores", MerchantType.SHOP, 9000, 0.85, 15.0, 2, 4.0, 9, 20, 0.2),
    Category("5200", "home supply", MerchantType.SHOP, 3400, 0.80, 13.5, 3, 1.0, 7, 20, 0.15),
    Category("5944", "jewellery and watches", MerchantType.SHOP, 11000, 0.85, 14.5, 0.6, 4.0, 9, 19, 0.1),
    Category("4111", "local transport", MerchantType.SHOP, 420, 0.60, 10.5, 8, 0.2, 4, 25, 1),
    Category("7230", "barbers and beauty", MerchantType.SHOP, 3000, 0.50, 13.5, 2.5, 0.5, 8, 20, 0.05),
    Category("7011", "hotels", MerchantType.SHOP, 11000, 0.60, 13.0, 1.5, 2.0, 0, 24, 1),
    Category("5262", "marketplaces", MerchantType.ONLINE, 2700, 0.80, 18.5, 26, 1.5, 0, 24, 1),
    Category("5691", "clothing online", MerchantType.ONLINE, 4600, 0.65, 19.0, 14, 1.2, 0, 24, 1),
    Category("5815", "digital media", MerchantType.ONLINE, 900, 0.60, 19.5, 12, 1.2, 0, 24, 1),
    Category("5816", "digital games", MerchantType.ONLINE, 1200, 0.80, 19.5, 8, 2.5, 0, 24, 1),
    Category("4121", "taxis by app", MerchantType.ONLINE, 1400, 0.55, 19.0, 10, 0.4, 0, 24, 1),
    Category("4511", "airlines", MerchantType.ONLINE, 13000, 0.65, 16.0, 4, 2.5, 0, 24, 1),
    Category("5045", "computers", MerchantType.ONLINE, 11000, 0.85, 17.0, 4, 3.5, 0, 24, 1),
    Category("5947", "gift cards", MerchantType.ONLINE, 3000, 0.65, 17.0, 4, 5.0, 0, 24, 1),
    Category("7995", "betting", MerchantType.ONLINE, 2200, 0.80, 20.5, 5, 2.0, 0, 24, 1),
    Category("6051", "quasi cash", MerchantType.ONLINE, 7000, 0.85, 18.0, 2, 3.0, 0, 24, 1),
    Category("6011", "cash machines", MerchantType.ATM, 7000, 0.60, 14.5, 1, 1.0, 0, 24, 1),
    Category("4899", "streaming", MerchantType.SUBSCRIPTION, 1200, 0.35, 3.0, 10, 0.2, 0, 24, 1),
    Category("4814", "telephone", MerchantType.SUBSCRIPTION, 2700, 0.40, 3.5, 8, 0.2, 0, 24, 1),
    Category("6300", "insurance", MerchantType.SUBSCRIPTION, 4500, 0.60, 2.5, 5, 0.1, 0, 24, 1),
    Category("7997", "sports clubs", MerchantType.SUBSCRIPTION, 3500, 0.40, 4.0, 4, 0.1, 0, 24, 1),
)
CODES: Final = tuple(category.code for category in CATEGORIES)
CODE_NUMBERS: Final = np.array([int(code) for code in CODES])
MERCHANT_TYPES: Final = np.array([category.merchant_type for category in CATEGORIES])
TYPICAL_MINOR: Final = np.array([category.typical_minor for category in CATEGORIES])
SPREADS: Final = np.array([category.spread for category in CATEGORIES])
HOURS: Final = np.array([category.hour for category in CATEGORIES])
CATEGORY_WEIGHTS: Final = np.array([category.weight for category in CATEGORIES], dtype=float)
FRAUD_WEIGHTS: Final = np.array([category.fraud_weight for category in CATEGORIES])
OPENING_HOURS: Final = np.array([float(category.opens) for category in CATEGORIES])
HOURS_OPEN: Final = np.array([float(category.closes - category.opens) for category in CATEGORIES])
REST_DAY_SHARES: Final = np.array([float(category.rest_day_share) for category in CATEGORIES])
