"""The cards and their holders: home city, habits, devices, travel."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.cities import CITIES, HOME_WEIGHTS, TRAVEL_WEIGHTS
from cardwatch.simulation.merchants import COUNTRY_OF_CITY, Merchants
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.segments import (
    DAILY_RATES,
    ECOMMERCE_RATIOS,
    HOURS_LATER,
    SEGMENTS,
    SHARES,
    SPENDING_LEVELS,
    SUBSCRIPTIONS,
    TRAVEL_RATIOS,
    WALLET_SHARES,
)
from cardwatch.simulation.transaction_array import Ints

FAVOURITE_SHOPS: Final = 10
FAVOURITE_ONLINE: Final = 6
_TRANSACTIONS_PER_DAY: Final = 1.9
_SECOND_CARD_PROBABILITY: Final = 0.25
_DEVICES_PER_CUSTOMER: Final = 2
_DEPARTURE_PROBABILITY: Final = 1 / 60
_DEVICE_REPLACEMENT_PROBABILITY: Final = 1 / 400
_MAX_ECOMMERCE_SHARE: Final = 0.95
_DOMESTIC_SHARE: Final = 0.8
"""Share of online purchases that are made in the home country on purpose."""
_CARDS_PER_RANGE: Final = 120
"""Cards of one issuer's range of card numbers, on average."""


class Cards:
    """All cards, as columns over their index. A customer holds one or two of them and uses both in the same way.

    `segment` is a position in `SEGMENTS`. `spending_level` multiplies amounts (1 is average), `daily_rate` is the mean
    number of transactions a day, `ecommerce_share` and `cash_share` are the shares of them online and at cash machines,
    `hour_shift` is added to the hour of each purchase, `weekend_ratio` multiplies the daily rate on weekend days,
    `has_wallet` tells whether contactless payments are made with the phone, `pay_day` is a day of the month or
    `NO_PAY_DAY`, `travel_ratio` multiplies departures, and `subscription_rate` is the mean number of subscriptions.
    Favourite merchants are ordered by descending preference. `ranges` is the number of ranges of card numbers,
    `card_range` the one of each card.
    """

    def __init__(self, streams: RandomStreams, count: int, merchants: Merchants) -> None:
        rng = streams.initial(RandomStream.CARDS)
        self.count = count
        self.customer = _draw_customers(rng, count)
        customers = int(self.customer[-1]) + 1
        segment, pay_day = _draw_segments(streams.initial(RandomStream.SEGMENTS), customers)

        def of_customer(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return values[self.customer]

        home_city = rng.choice(len(CITIES), size=customers, p=HOME_WEIGHTS / HOME_WEIGHTS.sum())
        self.segment, self.pay_day = segment[self.customer], pay_day[self.customer]
        self.home_city = home_city[self.customer]
        self.spending_level = of_customer(rng.lognormal(0.0, 0.4, customers)) * SPENDING_LEVELS[self.segment]
        self.daily_rate = rng.gamma(1.6, _TRANSACTIONS_PER_DAY / 1.6, count) * DAILY_RATES[self.segment] + 0.05
        online_share = of_customer(rng.beta(2.2, 6.2, customers)) * ECOMMERCE_RATIOS[self.segment]
        self.ecommerce_share = np.minimum(online_share, _MAX_ECOMMERCE_SHARE)
        self.cash_share = rng.beta(1.5, 25.0, count)
        self.hour_shift = of_customer(rng.normal(0.0, 1.1, customers)) + HOURS_LATER[self.segment]
        self.weekend_ratio = of_customer(rng.lognormal(0.1, 0.25, customers))
        self.has_wallet = of_customer(rng.random(customers)) < WALLET_SHARES[self.segment]
        self.travel_ratio = TRAVEL_RATIOS[self.segment]
        self.subscription_rate = SUBSCRIPTIONS[self.segment]
        self.favourite_shops = np.stack([merchants.shops.draw(rng, self.home_city) for _ in range(FAVOURITE_SHOPS)], 1)
        home_country = COUNTRY_OF_CITY[self.home_city]
        self.favourite_online = np.stack(
            [draw_online(rng, merchants, home_country) for _ in range(FAVOURITE_ONLINE)], axis=1
        )
        self.ranges = max(count // _CARDS_PER_RANGE, 2)
        self.card_range = streams.initial(RandomStream.CARD_RANGES).integers(0, self.ranges, count)
        self._cumulative_rate = np.cumsum(self.daily_rate)

    def replace_favourites(self, rng: np.random.Generator, merchants: Merchants) -> None:
        """Choose another favourite in the place of each that does not trade any more."""
        card, rank = np.nonzero(~merchants.is_trading[self.favourite_shops])
        self.favourite_shops[card, rank] = merchants.shops.draw(rng, self.home_city[card])
        card, rank = np.nonzero(~merchants.is_trading[self.favourite_online])
        self.favourite_online[card, rank] = draw_online(rng, merchants, COUNTRY_OF_CITY[self.home_city[card]])

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """Return `count` cards, each with a probability proportional to its transactions a day."""
        drawn: Ints = np.searchsorted(self._cumulative_rate, rng.random(count) * self._cumulative_rate[-1])
        return drawn

    def of_range(self, card_range: int) -> Ints:
        """Return the cards of a range."""
        return np.flatnonzero(self.card_range == card_range)


def _draw_customers(rng: np.random.Generator, count: int) -> Ints:
    """Return each card's customer, numbered from 0; a customer's second card directly follows the first."""
    is_second = rng.random(count) < _SECOND_CARD_PROBABILITY
    is_second[0] = False
    is_second[1:] &= ~is_second[:-1]
    return np.cumsum(~is_second) - 1


def _draw_segments(rng: np.random.Generator, customers: int) -> tuple[Ints, Ints]:
    """Return each customer's segment and pay day."""
    segment = rng.choice(len(SEGMENTS), size=customers, p=SHARES)
    pay_day = np.zeros(customers, dtype=np.int64)
    for position, of_segment in enumerate(SEGMENTS):
        members = segment == position
        pay_day[members] = rng.choice(of_segment.pay_days, int(members.sum()))
    return segment, pay_day


def draw_online(rng: np.random.Generator, merchants: Merchants, home_country: Ints) -> Ints:
    """Return an online merchant for each cardholder: mostly one of the home country, else one of any."""
    at_home = merchants.online_by_country.draw(rng, home_country)
    anywhere = merchants.online.draw_ungrouped(rng, len(home_country))
    return np.where(rng.random(len(home_country)) < _DOMESTIC_SHARE, at_home, anywhere)


class Devices:
    """The devices of all customers: each has two, uses the first (the phone) mostly, and replaces it now and then."""

    def __init__(self, customers: int) -> None:
        devices = np.arange(customers * _DEVICES_PER_CUSTOMER, dtype=np.int64)
        self._devices = devices.reshape(customers, _DEVICES_PER_CUSTOMER)
        self._created = self._devices.size

    def replace_some(self, rng: np.random.Generator) -> None:
        """Replace the phones of a few randomly drawn customers."""
        replaced = np.flatnonzero(rng.random(len(self._devices)) < _DEVICE_REPLACEMENT_PROBABILITY)
        self._devices[replaced, 0] = self.create(len(replaced))

    def create(self, count: int) -> Ints:
        """Return `count` new devices."""
        self._created += count
        return np.arange(self._created - count, self._created)

    def phones(self, customers: Ints) -> Ints:
        """Return the phone of each of these customers."""
        phones: Ints = self._devices[customers, 0]
        return phones

    def used_by(self, rng: np.random.Generator, customers: Ints) -> Ints:
        """Draw for each of these customers the device of an online purchase: the phone mostly."""
        position = (rng.random(len(customers)) < 0.2).astype(np.int64)
        devices: Ints = self._devices[customers, position]
        return devices


class Travel:
    """The present city of each card: the home city, or another one during a trip."""

    def __init__(self, home_city: Ints) -> None:
        self._home_city = home_city
        self._until_day = np.zeros(len(home_city), dtype=np.int64)
        self.city = home_city.copy()

    def begin_day(self, rng: np.random.Generator, day: int, departures: NDArray[np.float64]) -> None:
        """End the trips that are over, and start new ones of 2 to 9 days.

        `departures` multiplies the probability that each card departs.
        """
        at_home = self._until_day <= day
        self.city[at_home] = self._home_city[at_home]
        leaving = np.flatnonzero(at_home & (rng.random(len(self._home_city)) < _DEPARTURE_PROBABILITY * departures))
        self.city[leaving] = rng.choice(len(CITIES), size=len(leaving), p=TRAVEL_WEIGHTS / TRAVEL_WEIGHTS.sum())
        self._until_day[leaving] = day + rng.integers(2, 10, len(leaving))

    @property
    def away(self) -> NDArray[np.bool_]:
        """Per card, whether it is outside of its home city."""
        away: NDArray[np.bool_] = self.city != self._home_city
        return away
