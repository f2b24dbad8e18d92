"""The merchants: category, location, popularity and present merchant id."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from cardwatch.simulation.categories import CATEGORY_WEIGHTS, FRAUD_WEIGHTS, MERCHANT_TYPES, MerchantType
from cardwatch.simulation.cities import CITIES, HOME_WEIGHTS, LATITUDES, LONGITUDES, TRAVEL_WEIGHTS
from cardwatch.simulation.transaction_array import Ints
from cardwatch.simulation.weighted_sampler import WeightedSampler

_ONLINE_SHARE: Final = 0.16
_SUBSCRIPTION_SHARE: Final = 0.03
_OWNER_CHANGE_PROBABILITY: Final = 1 / 300
"""Probability per merchant and day that its owner, and so its id, changes."""
_MAX_OWNERS: Final = 1 << 12
_NEW_ONLINE_MERCHANTS: Final = 6


class CategorySamplers(NamedTuple):
    """Samplers of the merchants of a category, and of the other merchants of its type; `is_local`: by city."""

    category: WeightedSampler
    others: WeightedSampler
    is_local: bool


class Merchants:
    """All merchants, as columns over their index.

    A merchant keeps its type, category and location, but its owner changes now and then: then the same business
    continues under another `merchant_id`. So ids that no card has used before occur every day and do not indicate
    fraud. `new_online` are online merchants that are not used until the change makes them popular.
    """

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        cities = len(CITIES)
        online, subscriptions = round(count * _ONLINE_SHARE), max(8, round(count * _SUBSCRIPTION_SHARE))
        shops = count - online - subscriptions - cities
        merchant_type = np.repeat(
            [MerchantType.SHOP, MerchantType.ATM, MerchantType.ONLINE, MerchantType.SUBSCRIPTION],
            [shops, cities, online, subscriptions],
        )
        weight = HOME_WEIGHTS + 0.5 * TRAVEL_WEIGHTS
        self.count = count
        self.merchant_type = merchant_type
        self.city = rng.choice(cities, size=count, p=weight / weight.sum())
        self.city[:cities] = np.arange(cities)  # at least one shop and one cash machine per city
        self.city[merchant_type == MerchantType.ATM] = np.arange(cities)
        self.category = _draw_categories(rng, merchant_type)
        self.latitude = np.round(LATITUDES[self.city] + rng.normal(0, 0.03, count), 5)
        self.longitude = np.round(LONGITUDES[self.city] + rng.normal(0, 0.045, count), 5)
        self.popularity = rng.permutation(1.0 / np.arange(5, count + 5) ** 0.7)
        self.new_online = np.flatnonzero(merchant_type == MerchantType.ONLINE)[:_NEW_ONLINE_MERCHANTS]
        self._owner = np.zeros(count, dtype=np.int64)
        self._create_samplers()

    def _create_samplers(self) -> None:
        shops, cash_machines, online, subscriptions = (
            np.where(self.merchant_type == merchant_type, weight, 0.0)
            for merchant_type, weight in (
                (MerchantType.SHOP, self.popularity),
                (MerchantType.ATM, 1.0),
                (MerchantType.ONLINE, self.popularity),
                (MerchantType.SUBSCRIPTION, self.popularity),
            )
        )
        online_after_change = online.copy()
        online_after_change[self.new_online] = online.sum() * 0.30 / len(self.new_online)
        online[self.new_online] = 0.0
        target = FRAUD_WEIGHTS[self.category] * self.popularity**0.3
        one_group = np.zeros(self.count, dtype=np.int64)
        self.shops = WeightedSampler(shops, self.city)
        self.cash_machines = WeightedSampler(cash_machines, self.city)
        self.online = WeightedSampler(online, one_group)
        self.online_after_change = WeightedSampler(online_after_change, one_group)
        self.subscriptions = WeightedSampler(subscriptions, one_group)
        self.target_shops = WeightedSampler(np.where(shops > 0, target, 0.0), self.city)
        self.target_online = WeightedSampler(np.where(online > 0, target, 0.0), one_group)

    def samplers_of(self, category: int) -> CategorySamplers:
        """Return the samplers of a category of shops or online merchants, by its position in `CATEGORIES`."""
        merchant_type = MERCHANT_TYPES[category]
        is_local = bool(merchant_type == MerchantType.SHOP)
        weights = np.where(self.merchant_type == merchant_type, self.popularity, 0.0)
        weights[self.new_online] = 0.0
        groups = self.city if is_local else np.zeros(self.count, dtype=np.int64)
        is_member = self.category == category
        return CategorySamplers(
            WeightedSampler(np.where(is_member, weights, 0.0), groups),
            WeightedSampler(np.where(is_member, 0.0, weights), groups),
            is_local,
        )

    def change_owners(self, rng: np.random.Generator) -> None:
        """Change the owners of a few randomly drawn merchants."""
        self.assign_new_ids(np.flatnonzero(rng.random(self.count) < _OWNER_CHANGE_PROBABILITY))

    def assign_new_ids(self, merchants: Ints) -> None:
        """Give these merchants new merchant ids from now on."""
        self._owner[merchants] += 1

    def numbers(self, merchants: Ints) -> Ints:
        """Return the numbers behind the present merchant ids of these merchants."""
        return merchants * _MAX_OWNERS + self._owner[merchants] % _MAX_OWNERS


def _draw_categories(rng: np.random.Generator, merchant_type: Ints) -> Ints:
    """Draw a category of each merchant's type, with a probability proportional to the square root of its weight.

    The popularity of the single merchants supplies the rest of the variation.
    """
    category = np.zeros(len(merchant_type), dtype=np.int64)
    for value in MerchantType:
        members = np.flatnonzero(value == MERCHANT_TYPES)
        weights = np.sqrt(CATEGORY_WEIGHTS[members])
        of_type = merchant_type == value
        category[of_type] = rng.choice(members, size=int(of_type.sum()), p=weights / weights.sum())
    return category
