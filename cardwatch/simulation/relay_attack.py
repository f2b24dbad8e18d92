"""The type of fraud that appears with the change: relayed contactless payments at mule merchants."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.simulation.attacks import Attack
from cardwatch.simulation.categories import CODES, MerchantType
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream
from cardwatch.simulation.transaction_array import (
    CONTACTLESS,
    HOUR_MS,
    MINUTE_MS,
    NO_DEVICE,
    FraudType,
    Ints,
    TransactionArray,
    empty_transactions,
    transaction_array,
)

_MULE_CATEGORIES: Final = ("5499", "5814")
_MERCHANT_ID_DAYS: Final = 2
"""Days for which a mule merchant keeps a merchant id: fewer than most labels need to arrive."""
_CARDS_PER_MULE_MERCHANT: Final = 200


class RelayAttack(Attack):
    """Relay attack: a card's contactless signal is relayed to a terminal at a mule merchant.

    It resembles none of the earlier attacks: an ordinary shop in the holder's own city, the holder's own phone or card,
    no foreign country, amounts below the contactless limit. It can be detected by the combination of a merchant id that
    is new to all cards, few categories, whole euros between 35 and 49, and several contactless payments within an
    hour. The shops were ordinary ones before, and their customers keep paying there.
    """

    fraud_type, stream, share, mean_size = FraudType.RELAY_ATTACK, RandomStream.RELAY_ATTACK, 1.0, 4.5

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        self._merchants = _draw_mule_merchants(population, rng)

    def begin_day(self, population: Population, rng: np.random.Generator, day: int, genuine: TransactionArray) -> None:
        """Give half of the mule merchants a new merchant id."""
        population.merchants.assign_new_ids(self._merchants[day % _MERCHANT_ID_DAYS :: _MERCHANT_ID_DAYS])

    def start_times(self, rng: np.random.Generator, incidents: int) -> Ints:
        """Return times in shopping hours, in milliseconds of the day."""
        return rng.integers(8 * HOUR_MS, 20 * HOUR_MS, incidents)

    def incident(self, population: Population, rng: np.random.Generator, start_ms: int) -> TransactionArray:
        """Return three to six contactless payments at one mule merchant, with a card that is in its city."""
        merchant = int(rng.choice(self._merchants))
        in_city = np.flatnonzero(population.travel.city == population.merchants.city[merchant])
        if len(in_city) == 0:
            return empty_transactions()
        rates = population.cards.daily_rate[in_city]
        card = int(in_city[np.searchsorted(np.cumsum(rates), rng.random() * rates.sum())])
        count = int(rng.integers(3, 7))
        customer = population.cards.customer[card : card + 1]
        return transaction_array(
            occurred_at_ms=start_ms + np.cumsum(rng.integers(2 * MINUTE_MS, 12 * MINUTE_MS, count)),
            amount_minor=rng.integers(35, 50, count) * 100,
            card=card,
            merchant=np.full(count, merchant),
            device=int(population.devices.phones(customer)[0]) if population.cards.has_wallet[card] else NO_DEVICE,
            channel=CONTACTLESS,
            fraud_type=self.fraud_type,
        )


def _draw_mule_merchants(population: Population, rng: np.random.Generator) -> Ints:
    """Draw shops of low popularity and few categories, in cities where many cardholders live."""
    merchants = population.merchants
    residents = np.bincount(population.cards.home_city, minlength=int(merchants.city.max()) + 1)
    in_categories = np.isin(merchants.category, [CODES.index(code) for code in _MULE_CATEGORIES])
    suitable = in_categories & (merchants.merchant_type == MerchantType.SHOP)
    suitable &= residents[merchants.city] > population.cards.count / 50
    count = max(4, population.cards.count // _CARDS_PER_MULE_MERCHANT)
    candidates = np.flatnonzero(suitable)
    candidates = candidates[np.argsort(merchants.popularity[candidates], kind="stable")][: 3 * count]
    return np.sort(rng.choice(candidates, size=min(count, len(candidates)), replace=False))
