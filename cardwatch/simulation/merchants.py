"""The merchants: category, location, size, opening hours, birth and retirement, and present merchant id."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.categories import (
    CATEGORIES,
    CATEGORY_WEIGHTS,
    HOURS_OPEN,
    MERCHANT_TYPES,
    OPENING_HOURS,
    REST_DAY_SHARES,
    MerchantType,
)
from cardwatch.simulation.cities import CITIES, COUNTRIES, HOME_WEIGHTS, LATITUDES, LONGITUDES, TRAVEL_WEIGHTS
from cardwatch.simulation.merchant_samplers import CategorySamplers, MerchantSamplers
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.transaction_array import Ints
from cardwatch.simulation.weighted_sampler import WeightedSampler

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ONLINE_SHARE: Final = 0.16
_SUBSCRIPTION_SHARE: Final = 0.03
_OWNER_CHANGE_PROBABILITY: Final = 1 / 300
"""Probability per merchant and day that its owner, and so its id, changes."""
_CLOSURE_PROBABILITY: Final = 1 / 4_000
"""Probability per merchant and day that it closes for good: 0.8 % a month, 9 % a year, as enterprises in the EU do
(Eurostat, see docs/simulation.md)."""
_VACANT_DAYS: Final = (60, 121)
"""Days until another merchant opens in the same place: more than a campaign of fraudsters lasts, so that none of them
continues at the next merchant."""
_MAX_OWNERS: Final = 1 << 12
MAX_MERCHANTS: Final = 1 << 19
"""So that the numbers behind merchant ids have 31 bits."""
_NEW_ONLINE_MERCHANTS: Final = 6
_SIZE_EXPONENT, _SIZE_OFFSET = 0.7, 5
"""The r-th largest merchant of its category has a popularity proportional to (r + offset) ** -exponent: sizes have a
heavy tail, of Pareto's index 1 / 0.7 = 1.4."""
_STATION_SHOP: Final = next(position for position, category in enumerate(CATEGORIES) if category.code == "5499")

COUNTRY_NAMES: Final = tuple(sorted(set(COUNTRIES)))
COUNTRY_OF_CITY: Final = np.array([COUNTRY_NAMES.index(country) for country in COUNTRIES])
"""The position in `COUNTRY_NAMES` of each city's country."""
_CAPITALS: Final = np.array([COUNTRIES.index(country) for country in COUNTRY_NAMES])


class Merchants:
    """All merchants, as columns over their index.

    An index is a place of business. Its type and location stay, but its owner changes now and then: then the same
    business continues under another `merchant_id`. So ids that no card has used before occur every day and do not
    indicate fraud. Some close for good. Then the place is vacant (`is_trading` is False), and after months another
    merchant opens there, with an id, a category and a size of its own, so that the number of merchants stays about the
    same. A shop at the station of each city, the cash machines, and an online merchant of each country never close.
    `new_online` are online merchants that are not used until the change makes them popular.
    """

    def __init__(self, streams: RandomStreams, count: int) -> None:
        rng = streams.initial(RandomStream.MERCHANTS)
        self._streams = streams
        self.count = count
        self.merchant_type = _merchant_types(count)
        shops, online = (
            np.flatnonzero(self.merchant_type == of_type) for of_type in (MerchantType.SHOP, MerchantType.ONLINE)
        )
        station_shops = shops[: len(CITIES)]
        self.new_online = online[:_NEW_ONLINE_MERCHANTS]
        of_countries = online[_NEW_ONLINE_MERCHANTS:][: len(COUNTRY_NAMES)]
        weight = HOME_WEIGHTS + 0.5 * TRAVEL_WEIGHTS
        self.city = rng.choice(len(CITIES), size=count, p=weight / weight.sum())
        self.city[station_shops] = self.city[self.merchant_type == MerchantType.ATM] = np.arange(len(CITIES))
        self.city[of_countries] = _CAPITALS
        self.country = COUNTRY_OF_CITY[self.city]
        self.category = _draw_categories(rng, self.merchant_type)
        self.category[station_shops] = _STATION_SHOP
        self.latitude = np.round(LATITUDES[self.city] + rng.normal(0, 0.03, count), 5)
        self.longitude = np.round(LONGITUDES[self.city] + rng.normal(0, 0.045, count), 5)
        self._sizes = (np.arange(count) + _SIZE_OFFSET) ** -_SIZE_EXPONENT
        self.popularity = rng.permutation(self._sizes) * _category_share(self.category)
        self.opens_on_rest_days = rng.random(count) < REST_DAY_SHARES[self.category]
        self.opens_on_rest_days[station_shops] = True
        self._owner = np.zeros(count, dtype=np.int64)
        self._can_close = self.merchant_type != MerchantType.ATM
        self._can_close[np.concatenate([station_shops, self.new_online, of_countries])] = False
        # The first day is like any other: some places are vacant on it.
        vacant_share = 1.0 / (1.0 + 1.0 / (_CLOSURE_PROBABILITY * np.mean(_VACANT_DAYS)))
        self.is_trading: Bools = ~self._can_close | (rng.random(count) >= vacant_share)
        self._reopens_on_day = rng.integers(1, _VACANT_DAYS[0], count)
        self.popular_newcomers = WeightedSampler(
            np.isin(np.arange(count), self.new_online).astype(np.float64), np.zeros(count, dtype=np.int64)
        )
        self._samplers = self._create_samplers()

    def _create_samplers(self) -> MerchantSamplers:
        weight = np.where(self.is_trading, self.popularity, 0.0)
        weight[self.new_online] = 0.0
        return MerchantSamplers(
            merchant_type=self.merchant_type,
            category=self.category,
            city=self.city,
            country=self.country,
            weight=weight,
            opens_on_rest_days=self.opens_on_rest_days,
        )

    @property
    def shops(self) -> WeightedSampler:
        """The trading shops of each city."""
        return self._samplers.shops

    @property
    def shops_on_rest_days(self) -> WeightedSampler:
        """The trading shops of each city that are open on Sundays and public holidays."""
        return self._samplers.shops_on_rest_days

    @property
    def cash_machines(self) -> WeightedSampler:
        """The cash machines of each city."""
        return self._samplers.cash_machines

    @property
    def online(self) -> WeightedSampler:
        """The trading online merchants."""
        return self._samplers.online

    @property
    def online_by_country(self) -> WeightedSampler:
        """The trading online merchants of each country."""
        return self._samplers.online_by_country

    @property
    def subscriptions(self) -> WeightedSampler:
        """The trading merchants that charge cards every month."""
        return self._samplers.subscriptions

    @property
    def target_shops(self) -> WeightedSampler:
        """The trading shops of each city, those first that sell what is easy to resell."""
        return self._samplers.target_shops

    @property
    def target_online(self) -> WeightedSampler:
        """The trading online merchants, those first that sell what is easy to resell."""
        return self._samplers.target_online

    def samplers_of(self, category: int, *, is_rest_day: bool) -> CategorySamplers:
        """Return the samplers of a category of shops or online merchants, by its position in `CATEGORIES`."""
        return self._samplers.of_category(category, is_rest_day=is_rest_day)

    def begin_day(self, day: int) -> bool:
        """Change a few owners, close a few merchants and open others in vacant places; return whether any closed."""
        rng = self._streams.for_day(RandomStream.REPLACEMENTS, day)
        self.assign_new_ids(np.flatnonzero(rng.random(self.count) < _OWNER_CHANGE_PROBABILITY))
        rng = self._streams.for_day(RandomStream.MERCHANT_TURNOVER, day)
        opening = np.flatnonzero(~self.is_trading & (self._reopens_on_day <= day))
        closing = np.flatnonzero(self.is_trading & self._can_close & (rng.random(self.count) < _CLOSURE_PROBABILITY))
        if len(opening) == 0 and len(closing) == 0:
            return False
        self._open(rng, opening)
        self.is_trading[closing] = False
        self._reopens_on_day[closing] = day + rng.integers(*_VACANT_DAYS, len(closing))
        self._samplers = self._create_samplers()
        return len(closing) > 0

    def _open(self, rng: np.random.Generator, places: Ints) -> None:
        """Open merchants of their own category and size in these vacant places."""
        self.category[places] = _draw_categories(rng, self.merchant_type[places])
        self.popularity[places] = rng.choice(self._sizes, len(places)) * _category_share(self.category[places])
        self.opens_on_rest_days[places] = rng.random(len(places)) < REST_DAY_SHARES[self.category[places]]
        self.is_trading[places] = True
        self.assign_new_ids(places)

    def assign_new_ids(self, merchants: Ints) -> None:
        """Give these merchants new merchant ids from now on."""
        self._owner[merchants] += 1

    def numbers(self, merchants: Ints) -> Ints:
        """Return the numbers behind the present merchant ids of these merchants."""
        return merchants * _MAX_OWNERS + self._owner[merchants] % _MAX_OWNERS

    def hours_until_open(self, merchants: Ints, hours: Floats) -> Floats:
        """Return how many hours of the day (UTC) pass until each merchant opens: 0 while it is open.

        Sundays and public holidays are not considered.
        """
        category = self.category[merchants]
        opens = OPENING_HOURS[category]
        is_open = (hours - opens) % 24.0 < HOURS_OPEN[category]
        return np.where(is_open, 0.0, (opens - hours) % 24.0)

    def draw_open_hours(self, rng: np.random.Generator, merchants: Ints) -> Floats:
        """Return an hour of the day (UTC) at which each merchant is open, all equally likely."""
        category = self.category[merchants]
        hours: Floats = (OPENING_HOURS[category] + rng.random(len(merchants)) * HOURS_OPEN[category]) % 24.0
        return hours


def _merchant_types(count: int) -> Ints:
    cities, online, subscriptions = (
        len(CITIES),
        round(count * _ONLINE_SHARE),
        max(8, round(count * _SUBSCRIPTION_SHARE)),
    )
    return np.repeat(
        [MerchantType.SHOP, MerchantType.ATM, MerchantType.ONLINE, MerchantType.SUBSCRIPTION],
        [count - online - subscriptions - cities, cities, online, subscriptions],
    )


def _draw_categories(rng: np.random.Generator, merchant_type: Ints) -> Ints:
    """Draw a category of each merchant's type, with a probability proportional to the square root of its weight.

    The other half of the weight is in the popularity of the merchants, see `_category_share`: in categories that are
    used more, there are more merchants, and larger ones.
    """
    category = np.zeros(len(merchant_type), dtype=np.int64)
    for value in MerchantType:
        members = np.flatnonzero(value == MERCHANT_TYPES)
        weights = np.sqrt(CATEGORY_WEIGHTS[members])
        of_type = merchant_type == value
        category[of_type] = rng.choice(members, size=int(of_type.sum()), p=weights / weights.sum())
    return category


def _category_share(category: Ints) -> Floats:
    share: Floats = np.sqrt(CATEGORY_WEIGHTS[category])
    return share
