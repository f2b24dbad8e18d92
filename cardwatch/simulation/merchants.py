"""The merchants: what they sell, where they are, how popular they are, and who owns them now."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.categories import ALLURE, TRADES, VISITS, Trade
from cardwatch.simulation.places import CITIES, GUESTS, LATITUDES, LONGITUDES, RESIDENTS
from cardwatch.simulation.tokens import opaque
from cardwatch.simulation.weighted_sampler import WeightedSampler

Ints = NDArray[np.int64]

_ONLINE_SHARE: Final = 0.16
_SUBSCRIPTION_SHARE: Final = 0.03
_NEW_OWNER_PER_DAY: Final = 1 / 300
_OWNERS_AT_MOST: Final = 1 << 12
_NEWCOMERS: Final = 6


class Merchants:
    """All premises of the world, as columns over their index.

    A premise keeps its trade, category and place for ever, but its owner changes now and then: then another
    `merchant_id` does the same business there. So merchants that nobody has seen before are an everyday thing
    and no sign of fraud. `newcomers` are online merchants that nobody uses until the change makes them
    popular.
    """

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        cities = len(CITIES)
        online, subscriptions = round(count * _ONLINE_SHARE), max(8, round(count * _SUBSCRIPTION_SHARE))
        shops = count - online - subscriptions - cities
        trade = np.repeat(
            [Trade.SHOP, Trade.ATM, Trade.ONLINE, Trade.SUBSCRIPTION], [shops, cities, online, subscriptions]
        )
        weight = RESIDENTS + 0.5 * GUESTS
        self.count = count
        self.trade = trade
        self.city = rng.choice(cities, size=count, p=weight / weight.sum())
        self.city[:cities] = np.arange(cities)  # a shop and a cash machine everywhere
        self.city[trade == Trade.ATM] = np.arange(cities)
        self.category = _draw_categories(rng, trade)
        self.latitude = np.round(LATITUDES[self.city] + rng.normal(0, 0.03, count), 5)
        self.longitude = np.round(LONGITUDES[self.city] + rng.normal(0, 0.045, count), 5)
        self.popularity = rng.permutation(1.0 / np.arange(5, count + 5) ** 0.7)
        self.newcomers = np.flatnonzero(trade == Trade.ONLINE)[:_NEWCOMERS]
        self._owner = np.zeros(count, dtype=np.int64)
        self._draw_lotteries()

    def _draw_lotteries(self) -> None:
        here = np.where(self.trade == Trade.SHOP, self.popularity, 0.0)
        online = np.where(self.trade == Trade.ONLINE, self.popularity, 0.0)
        online_later = online.copy()
        online_later[self.newcomers] = online.sum() * 0.30 / len(self.newcomers)
        online[self.newcomers] = 0.0
        tempting = ALLURE[self.category] * self.popularity**0.3
        one = np.zeros(self.count, dtype=np.int64)
        self.shops = WeightedSampler(here, self.city)
        self.cash_machines = WeightedSampler(np.where(self.trade == Trade.ATM, 1.0, 0.0), self.city)
        self.online = WeightedSampler(online, one)
        self.online_later = WeightedSampler(online_later, one)
        self.subscriptions = WeightedSampler(np.where(self.trade == Trade.SUBSCRIPTION, self.popularity, 0.0), one)
        self.tempting_shops = WeightedSampler(np.where(here > 0, tempting, 0.0), self.city)
        self.tempting_online = WeightedSampler(np.where(online > 0, tempting, 0.0), one)

    def change_owners(self, rng: np.random.Generator) -> None:
        """Let a few premises pass to another owner, as happens every day."""
        self.hand_over(np.flatnonzero(rng.random(self.count) < _NEW_OWNER_PER_DAY))

    def hand_over(self, premises: Ints) -> None:
        """From now on these premises trade under a new merchant id."""
        self._owner[premises] += 1

    def tokens(self, premises: Ints) -> list[str]:
        """The merchant ids of the present owners."""
        return opaque("m", premises * _OWNERS_AT_MOST + self._owner[premises] % _OWNERS_AT_MOST)


def _draw_categories(rng: np.random.Generator, trade: Ints) -> Ints:
    """Categories that fit the trades, each as likely as the root of its visits: the rest is popularity."""
    category = np.zeros(len(trade), dtype=np.int64)
    for kind in Trade:
        members = np.flatnonzero(kind == TRADES)
        weights = np.sqrt(VISITS[members])
        where = trade == kind
        category[where] = rng.choice(members, size=int(where.sum()), p=weights / weights.sum())
    return category
