"""The cards and the people who hold them: home, habits, devices, journeys."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.merchants import Merchants
from cardwatch.simulation.places import CITIES, GUESTS, RESIDENTS

Ints = NDArray[np.int64]

FAVOURITE_SHOPS: Final = 10
FAVOURITE_ONLINE: Final = 6
_TRANSACTIONS_PER_DAY: Final = 1.9
_SECOND_CARD: Final = 0.25
_OWN_DEVICES: Final = 2
_TRIP_BEGINS: Final = 1 / 60
_DEVICE_REPLACED: Final = 1 / 400


class Cards:
    """All cards, as columns over their index. A customer holds one or two of them and uses both in the same way.

    `level` is how much the holder spends (1 is ordinary), `rate` the mean transactions a day, `ecommerce` and
    `cash` the parts of them that are online and at cash machines, `hour_shift` how many hours later than
    others the holder lives, `weekend` how much busier than a weekday a weekend day is, `wallet` whether
    contactless payments are made with the phone. Favourite merchants come most loved first.
    """

    def __init__(self, rng: np.random.Generator, count: int, merchants: Merchants) -> None:
        self.count = count
        self.customer = _customers(rng, count)
        customers = int(self.customer[-1]) + 1

        def of_customer(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return values[self.customer]

        self.home = rng.choice(len(CITIES), size=customers, p=RESIDENTS / RESIDENTS.sum())[self.customer]
        self.level = of_customer(rng.lognormal(0.0, 0.45, customers))
        self.rate = rng.gamma(1.6, _TRANSACTIONS_PER_DAY / 1.6, count) + 0.05
        self.ecommerce = of_customer(rng.beta(2.0, 5.0, customers))
        self.cash = rng.beta(1.5, 25.0, count)
        self.hour_shift = of_customer(rng.normal(0.0, 1.3, customers))
        self.weekend = of_customer(rng.lognormal(0.1, 0.25, customers))
        self.wallet = of_customer(rng.random(customers)) < 0.4
        self.favourite_shops = _favourites(rng, merchants.shops.draw, self.home, FAVOURITE_SHOPS)
        self.favourite_online = _favourites(
            rng, merchants.online.draw, np.zeros(count, dtype=np.int64), FAVOURITE_ONLINE
        )


def _customers(rng: np.random.Generator, count: int) -> Ints:
    """Each card's customer, numbered in order of first cards; a second card follows its customer's first at once."""
    second = rng.random(count) < _SECOND_CARD
    second[0] = False
    second[1:] &= ~second[:-1]
    return np.cumsum(~second) - 1


def _favourites(rng: np.random.Generator, draw, groups: Ints, count: int) -> Ints:  # type: ignore[no-untyped-def]
    return np.stack([draw(rng, groups) for _ in range(count)], axis=1)


class Devices:
    """The devices that people pay with: a customer has two, of which one does most, and replaces one now and then."""

    def __init__(self, customers: int) -> None:
        self._held = np.arange(customers * _OWN_DEVICES, dtype=np.int64).reshape(customers, _OWN_DEVICES)
        self._made = self._held.size

    def replace_some(self, rng: np.random.Generator) -> None:
        """Let a few customers buy a new phone."""
        lucky = np.flatnonzero(rng.random(len(self._held)) < _DEVICE_REPLACED)
        self._held[lucky, 0] = self.make(len(lucky))

    def make(self, count: int) -> Ints:
        """`count` devices that nobody has seen before."""
        self._made += count
        return np.arange(self._made - count, self._made)

    def phones(self, customers: Ints) -> Ints:
        """The main device of each of these customers."""
        main: Ints = self._held[customers, 0]
        return main

    def used_by(self, rng: np.random.Generator, customers: Ints) -> Ints:
        """For each of these customers the device at hand: the phone mostly, else the other one."""
        other = (rng.random(len(customers)) < 0.2).astype(np.int64)
        at_hand: Ints = self._held[customers, other]
        return at_hand


class Journeys:
    """Where each card is: at home mostly, and now and then some days in another city."""

    def __init__(self, home: Ints) -> None:
        self._home = home
        self._until_day = np.zeros(len(home), dtype=np.int64)
        self.city = home.copy()

    def begin_day(self, rng: np.random.Generator, day: int) -> None:
        """Bring home whose journey is over, and let others leave for 2 to 9 days."""
        back = self._until_day <= day
        self.city[back] = self._home[back]
        leaving = np.flatnonzero(back & (rng.random(len(self._home)) < _TRIP_BEGINS))
        self.city[leaving] = rng.choice(len(CITIES), size=len(leaving), p=GUESTS / GUESTS.sum())
        self._until_day[leaving] = day + rng.integers(2, 10, len(leaving))

    @property
    def away(self) -> NDArray[np.bool_]:
        """Which cards are not in their home city."""
        elsewhere: NDArray[np.bool_] = self.city != self._home
        return elsewhere
