"""The types of fraud that exist from the first day. `relay_attack.py` holds the one that appears with the change.

No single field identifies an attack: genuine customers also make large purchases, travel, buy phones and find new
merchants, and a part of what fraudsters do is ordinary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike

from cardwatch.simulation.cards import FAVOURITE_ONLINE
from cardwatch.simulation.cities import CITIES
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream
from cardwatch.simulation.transaction_array import (
    ATM,
    DAY_MS,
    ECOMMERCE,
    HOUR_MS,
    MINUTE_MS,
    NO_DEVICE,
    SWIPE,
    FraudType,
    Ints,
    TransactionArray,
    empty_transactions,
    transaction_array,
)

_NIGHT_SHARE: Final = 0.4
"""Share of incidents that start between 0:00 and 6:00 UTC, while cardholders sleep."""


class Attack(ABC):
    """One type of attack. An incident hits one card with several transactions and may last more than a day.

    `share` is the attack's share of the fraud before the change, `mean_size` the expected number of transactions of
    an incident: together they determine how many incidents a day has.
    """

    fraud_type: ClassVar[FraudType]
    stream: ClassVar[RandomStream]
    share: ClassVar[float]
    mean_size: ClassVar[float]

    def begin_day(  # noqa: B027 (most attacks keep no state)
        self, population: Population, rng: np.random.Generator, day: int, genuine: TransactionArray
    ) -> None:
        """Update the attack's own state from the day's genuine transactions, before the day's incidents."""

    def start_times(self, rng: np.random.Generator, incidents: int) -> Ints:
        """Return the start of each of the day's incidents, in milliseconds of the day."""
        night = rng.random(incidents) < _NIGHT_SHARE
        return np.where(night, rng.integers(0, 6 * HOUR_MS, incidents), rng.integers(0, DAY_MS, incidents))

    @abstractmethod
    def incident(self, population: Population, rng: np.random.Generator, start_ms: int) -> TransactionArray:
        """Return the transactions of one incident that starts at `start_ms`; empty if no card is available."""


class CardTesting(Attack):
    """Card testing: a stolen number is tried with tiny payments, some minutes apart; large purchases follow."""

    fraud_type, stream, share, mean_size = FraudType.CARD_TESTING, RandomStream.CARD_TESTING, 0.30, 4.5

    def incident(self, population: Population, rng: np.random.Generator, start_ms: int) -> TransactionArray:
        """Return two to four tests, then one or two purchases within the next hours."""
        test_count, purchase_count = int(rng.integers(2, 5)), int(rng.integers(1, 3))
        device = _unknown_device(population, rng)
        card = _draw_card(population, rng)
        merchants = _draw_online(population, rng, test_count, 0.5)
        tests = _purchases(population, rng, card, merchants, self.fraud_type, start_ms, device, 1.0)
        tests["occurred_at_ms"] = start_ms + np.cumsum(rng.integers(1 * MINUTE_MS, 12 * MINUTE_MS, test_count))
        tests["amount_minor"] = rng.integers(50, 300, test_count)
        after_ms = int(tests["occurred_at_ms"].max()) + int(rng.integers(5 * MINUTE_MS, 240 * MINUTE_MS))
        merchants = _draw_online(population, rng, purchase_count, 0.9)
        purchases = _purchases(population, rng, card, merchants, self.fraud_type, after_ms, device, 2.5)
        return np.concatenate([tests, purchases])


class StolenCardData(Attack):
    """Card-not-present fraud: leaked card data are used online, at unknown merchants, for larger amounts."""

    fraud_type, stream, share, mean_size = FraudType.STOLEN_CARD_DATA, RandomStream.STOLEN_CARD_DATA, 0.26, 2.5

    def incident(self, population: Population, rng: np.random.Generator, start_ms: int) -> TransactionArray:
        """Return one to four purchases, hours apart."""
        merchants = _draw_online(population, rng, int(rng.integers(1, 5)), 0.8)
        device = _unknown_device(population, rng)
        card = _draw_card(population, rng)
        return _purchases(population, rng, card, merchants, self.fraud_type, start_ms, device, 2.5)


class CounterfeitCard(Attack):
    """Counterfeit card: a copied magnetic stripe is used in a city where its holder is not."""

    fraud_type, stream, share, mean_size = FraudType.COUNTERFEIT_CARD, RandomStream.COUNTERFEIT_CARD, 0.24, 3.0

    def incident(self, population: Population, rng: np.random.Generator, start_ms: int) -> TransactionArray:
        """Return two to four payments in one city within a few hours; the last may be at a cash machine."""
        card, count = _draw_card(population, rng), int(rng.integers(2, 5))
        holder_city = int(population.travel.city[card])
        city = np.full(count, (holder_city + rng.integers(1, len(CITIES))) % len(CITIES))
        cash = (np.arange(count) == count - 1) & (rng.random() < 0.3)
        shop = population.merchants.target_shops.draw(rng, city)
        merchant = np.where(cash, population.merchants.cash_machines.draw(rng, city), shop)
        payments = _purchases(population, rng, card, merchant, self.fraud_type, start_ms, NO_DEVICE, 1.5)
        payments["occurred_at_ms"] = start_ms + np.cumsum(rng.integers(8 * MINUTE_MS, 90 * MINUTE_MS, count))
        payments["channel"] = np.where(cash, ATM, SWIPE)
        payments["amount_minor"][cash] = rng.integers(5, 41, int(cash.sum())) * 1_000
        return payments


class AccountTakeover(Attack):
    """Account takeover: purchases at the holder's usual merchants from another device, for larger amounts."""

    fraud_type, stream, share, mean_size = FraudType.ACCOUNT_TAKEOVER, RandomStream.ACCOUNT_TAKEOVER, 0.10, 2.5

    def incident(self, population: Population, rng: np.random.Generator, start_ms: int) -> TransactionArray:
        """Return one to four purchases at the holder's favourite online merchants."""
        card, count = _draw_card(population, rng), int(rng.integers(1, 5))
        merchants = population.cards.favourite_online[card, rng.integers(0, FAVOURITE_ONLINE, count)]
        device = _unknown_device(population, rng)
        return _purchases(population, rng, card, merchants, self.fraud_type, start_ms, device, 3.5)


class DataBreach(Attack):
    """Data breach: cards used at a compromised merchant are used online later, for moderate purchases."""

    fraud_type, stream, share, mean_size = FraudType.DATA_BREACH, RandomStream.DATA_BREACH, 0.10, 1.5
    _DURATION_DAYS: ClassVar[int] = 8
    _INTERVAL_DAYS: ClassVar[int] = 16

    def __init__(self) -> None:
        self._merchant = -1
        self._copied: list[Ints] = []
        self._stolen_cards = np.zeros(0, dtype=np.int64)

    def begin_day(self, population: Population, rng: np.random.Generator, day: int, genuine: TransactionArray) -> None:
        """Record the day's cards at the compromised merchant; at the end of the breach they become usable."""
        phase = day % self._INTERVAL_DAYS
        if phase == 0:
            city = population.cards.home_city[[_draw_card(population, rng)]]
            self._merchant, self._copied = int(population.merchants.shops.draw(rng, city)[0]), []
        if phase < self._DURATION_DAYS:
            self._copied.append(genuine["card"][genuine["merchant"] == self._merchant])
        elif phase == self._DURATION_DAYS:
            cards = np.unique(np.concatenate(self._copied))
            self._stolen_cards = cards if len(cards) else self._stolen_cards

    def incident(self, population: Population, rng: np.random.Generator, start_ms: int) -> TransactionArray:
        """Return one or two online purchases with one of the stolen cards."""
        if len(self._stolen_cards) == 0:
            return empty_transactions()
        card = int(rng.choice(self._stolen_cards))
        merchants = _draw_online(population, rng, int(rng.integers(1, 3)), 0.4)
        device = _unknown_device(population, rng)
        return _purchases(population, rng, card, merchants, self.fraud_type, start_ms, device, 1.5)


def initial_attacks() -> list[Attack]:
    """Return one attack of each type that exists from the first day. Their shares add up to 1."""
    return [CardTesting(), StolenCardData(), CounterfeitCard(), AccountTakeover(), DataBreach()]


def _draw_card(population: Population, rng: np.random.Generator) -> int:
    """Draw a card with a probability proportional to its transactions a day."""
    rate = population.cards.daily_rate
    return int(np.searchsorted(np.cumsum(rate), rng.random() * rate.sum()))


def _draw_online(population: Population, rng: np.random.Generator, count: int, target_probability: float) -> Ints:
    """Draw online merchants: each by fraud weight with `target_probability`, else by popularity."""
    targets = population.merchants.target_online.draw_ungrouped(rng, count)
    is_target = rng.random(count) < target_probability
    return np.where(is_target, targets, population.merchants.online.draw_ungrouped(rng, count))


def _unknown_device(population: Population, rng: np.random.Generator) -> int:
    """Return a device that the holder never used, or none: some fraudsters hide it."""
    return NO_DEVICE if rng.random() < 0.15 else int(population.devices.create(1)[0])


def _purchases(
    population: Population,
    rng: np.random.Generator,
    card: int,
    merchant: Ints,
    fraud_type: FraudType,
    start_ms: int,
    device: ArrayLike,
    amount_ratio: float,
) -> TransactionArray:
    """Return online purchases from `start_ms` on, hours apart, of about `amount_ratio` times the holder's amounts."""
    count = len(merchant)
    usual = population.usual_amounts(rng, np.full(count, card), merchant)
    gaps_ms = rng.exponential(1.5 * HOUR_MS, count).astype(np.int64) + MINUTE_MS
    gaps_ms[0] = 0
    return transaction_array(
        occurred_at_ms=start_ms + np.minimum(np.cumsum(gaps_ms), 2 * DAY_MS),
        amount_minor=np.rint(usual * amount_ratio * rng.lognormal(0.0, 0.4, count)),
        card=card,
        merchant=merchant,
        device=device,
        channel=ECOMMERCE,
        fraud_type=fraud_type,
    )
