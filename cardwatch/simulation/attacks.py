"""The old kinds of fraud, each a scheme with a meaning. `relay_ring.py` holds the one that comes with the change.

No scheme can be told from its amounts, devices or merchants alone: genuine customers splurge, travel, buy
phones and find new merchants too, and a part of what fraudsters do is ordinary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike

from cardwatch.simulation.cards import FAVOURITE_ONLINE
from cardwatch.simulation.drafts import (
    ATM,
    DAY_MS,
    ECOMMERCE,
    HOUR_MS,
    MINUTE_MS,
    NO_DEVICE,
    SWIPE,
    Drafts,
    Ints,
    Kind,
    draft,
    no_drafts,
)
from cardwatch.simulation.places import CITIES
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream

_BY_NIGHT: Final = 0.4


class Scheme(ABC):
    """A way to steal. One strike hits one card with several transactions, which may take more than a day.

    `share` is the scheme's part of all old fraud, `mean_size` the expected transactions of a strike: together
    they say how often it strikes.
    """

    kind: ClassVar[Kind]
    concern: ClassVar[RandomStream]
    share: ClassVar[float]
    mean_size: ClassVar[float]

    def begin_day(self, population: Population, rng: np.random.Generator, day: int, genuine: Drafts) -> None:  # noqa: B027
        """Look at today's genuine transactions, before the day's strikes. Most schemes need not."""

    def begins(self, rng: np.random.Generator, strikes: int) -> Ints:
        """When today's strikes begin, in milliseconds of the day: at any hour, rather while their victims sleep."""
        night = rng.random(strikes) < _BY_NIGHT
        return np.where(night, rng.integers(0, 6 * HOUR_MS, strikes), rng.integers(0, DAY_MS, strikes))

    @abstractmethod
    def strike(self, population: Population, rng: np.random.Generator, at_ms: int) -> Drafts:
        """One strike that begins at `at_ms`; empty if there is nobody to strike."""


class CardTesting(Scheme):
    """A stolen number is tried with tiny payments, some minutes apart; if it lives, large purchases follow."""

    kind, concern, share, mean_size = Kind.CARD_TESTING, RandomStream.CARD_TESTING, 0.30, 4.5

    def strike(self, population: Population, rng: np.random.Generator, at_ms: int) -> Drafts:
        """Two to four tests, then one or two purchases within the next hours."""
        tests, purchases = int(rng.integers(2, 5)), int(rng.integers(1, 3))
        device = _strange_device(population, rng)
        card = _victim(population, rng)
        tried = _purchases(population, rng, card, _online(population, rng, tests, 0.5), self.kind, at_ms, device, 1.0)
        tried["occurred_ms"] = at_ms + np.cumsum(rng.integers(1 * MINUTE_MS, 12 * MINUTE_MS, tests))
        tried["amount_minor"] = rng.integers(50, 300, tests)
        after_ms = int(tried["occurred_ms"].max()) + int(rng.integers(5 * MINUTE_MS, 240 * MINUTE_MS))
        bought = _purchases(
            population, rng, card, _online(population, rng, purchases, 0.9), self.kind, after_ms, device, 2.5
        )
        return np.concatenate([tried, bought])


class StolenCard(Scheme):
    """Card details that leaked are used online: strange merchants and device, larger amounts than the holder's."""

    kind, concern, share, mean_size = Kind.STOLEN_CARD, RandomStream.STOLEN_CARD, 0.26, 2.5

    def strike(self, population: Population, rng: np.random.Generator, at_ms: int) -> Drafts:
        """One to four purchases, hours apart."""
        merchants = _online(population, rng, int(rng.integers(1, 5)), 0.8)
        device = _strange_device(population, rng)
        return _purchases(population, rng, _victim(population, rng), merchants, self.kind, at_ms, device, 2.5)


class Counterfeit(Scheme):
    """A copied magnetic stripe is used in another city, where its holder cannot be; at times a cash machine ends it."""

    kind, concern, share, mean_size = Kind.COUNTERFEIT, RandomStream.COUNTERFEIT, 0.24, 3.0

    def strike(self, population: Population, rng: np.random.Generator, at_ms: int) -> Drafts:
        """Two to four payments in one city within a few hours."""
        card, count = _victim(population, rng), int(rng.integers(2, 5))
        here = int(population.journeys.city[card])
        city = np.full(count, (here + rng.integers(1, len(CITIES))) % len(CITIES))
        cash = (np.arange(count) == count - 1) & (rng.random() < 0.3)
        shop = population.merchants.tempting_shops.draw(rng, city)
        merchant = np.where(cash, population.merchants.cash_machines.draw(rng, city), shop)
        strike = _purchases(population, rng, card, merchant, self.kind, at_ms, NO_DEVICE, 1.5)
        strike["occurred_ms"] = at_ms + np.cumsum(rng.integers(8 * MINUTE_MS, 90 * MINUTE_MS, count))
        strike["channel"] = np.where(cash, ATM, SWIPE)
        strike["amount_minor"][cash] = rng.integers(5, 41, int(cash.sum())) * 1_000
        return strike


class Takeover(Scheme):
    """Somebody logs in as the holder and buys where the holder buys, from another device, rather more."""

    kind, concern, share, mean_size = Kind.TAKEOVER, RandomStream.TAKEOVER, 0.10, 2.5

    def strike(self, population: Population, rng: np.random.Generator, at_ms: int) -> Drafts:
        """One to four purchases at the holder's favourite online merchants."""
        card, count = _victim(population, rng), int(rng.integers(1, 5))
        merchants = population.cards.favourite_online[card, rng.integers(0, FAVOURITE_ONLINE, count)]
        return _purchases(population, rng, card, merchants, self.kind, at_ms, _strange_device(population, rng), 3.5)


class Breach(Scheme):
    """A merchant's till is tapped for some days; cards that paid there are used later, for modest purchases."""

    kind, concern, share, mean_size = Kind.BREACH, RandomStream.BREACH, 0.10, 1.5
    _LASTS_DAYS: ClassVar[int] = 8
    _NEXT_AFTER_DAYS: ClassVar[int] = 16

    def __init__(self) -> None:
        self._merchant = -1
        self._tapped: list[Ints] = []
        self._for_sale = np.zeros(0, dtype=np.int64)

    def begin_day(self, population: Population, rng: np.random.Generator, day: int, genuine: Drafts) -> None:
        """Copy today's cards at the tapped merchant; sell them when it is over, and tap another one later."""
        phase = day % self._NEXT_AFTER_DAYS
        if phase == 0:
            city = population.cards.home[[_victim(population, rng)]]
            self._merchant, self._tapped = int(population.merchants.shops.draw(rng, city)[0]), []
        if phase < self._LASTS_DAYS:
            self._tapped.append(genuine["card"][genuine["merchant"] == self._merchant])
        elif phase == self._LASTS_DAYS:
            found = np.unique(np.concatenate(self._tapped))
            self._for_sale = found if len(found) else self._for_sale

    def strike(self, population: Population, rng: np.random.Generator, at_ms: int) -> Drafts:
        """One or two purchases online with a card that was for sale."""
        if len(self._for_sale) == 0:
            return no_drafts()
        card = int(rng.choice(self._for_sale))
        merchants = _online(population, rng, int(rng.integers(1, 3)), 0.4)
        return _purchases(population, rng, card, merchants, self.kind, at_ms, _strange_device(population, rng), 1.5)


def old_schemes() -> list[Scheme]:
    """One of each kind that the world begins with. Their shares add up to 1."""
    return [CardTesting(), StolenCard(), Counterfeit(), Takeover(), Breach()]


def _victim(population: Population, rng: np.random.Generator) -> int:
    """A card that is used: the more often, the more likely it leaks."""
    rate = population.cards.rate
    return int(np.searchsorted(np.cumsum(rate), rng.random() * rate.sum()))


def _online(population: Population, rng: np.random.Generator, count: int, greed: float) -> Ints:
    """Online merchants: with probability `greed` one that sells what fraudsters want, else any popular one."""
    wanted = population.merchants.tempting_online.draw_any(rng, count)
    return np.where(rng.random(count) < greed, wanted, population.merchants.online.draw_any(rng, count))


def _strange_device(population: Population, rng: np.random.Generator) -> int:
    """A device the holder never had; some fraudsters hide it."""
    return NO_DEVICE if rng.random() < 0.15 else int(population.devices.make(1)[0])


def _purchases(
    population: Population,
    rng: np.random.Generator,
    card: int,
    merchant: Ints,
    kind: Kind,
    at_ms: int,
    device: ArrayLike,
    greed: float,
) -> Drafts:
    """Online purchases from `at_ms` on, hours apart, each about `greed` times what the holder would pay."""
    count = len(merchant)
    usual = population.usual_amounts(rng, np.full(count, card), merchant)
    gaps_ms = rng.exponential(1.5 * HOUR_MS, count).astype(np.int64) + MINUTE_MS
    gaps_ms[0] = 0
    return draft(
        occurred_ms=at_ms + np.minimum(np.cumsum(gaps_ms), 2 * DAY_MS),
        amount_minor=np.rint(usual * greed * rng.lognormal(0.0, 0.4, count)),
        card=card,
        merchant=merchant,
        device=device,
        channel=ECOMMERCE,
        kind=kind,
    )
