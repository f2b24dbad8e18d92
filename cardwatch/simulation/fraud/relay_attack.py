"""The relay attack: a new typology that appears with a change."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.simulation.categories import CODES, MerchantType
from cardwatch.simulation.fraud.attack import Attack
from cardwatch.simulation.fraud.campaign import Campaign, sequence
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream
from cardwatch.simulation.transaction_array import (
    CONTACTLESS,
    MINUTE_MS,
    NO_DEVICE,
    Ints,
    TransactionArray,
    Typology,
    transaction_array,
)

_MULE_CATEGORIES: Final = ("5499", "5814")
_MERCHANT_ID_DAYS: Final = 2
"""Days for which a mule merchant keeps a merchant id: fewer than most labels need to arrive."""


class RelayAttack(Attack):
    """Relay attack: a card's contactless signal is relayed to a terminal at a mule merchant.

    It resembles none of the other typologies: an ordinary shop in the holder's own city, the holder's own phone or
    card, no foreign country, amounts below the contactless limit. It can be detected by the combination of a merchant
    id that is new to all cards, few categories, whole euros between 35 and 49, and several contactless payments within
    an hour. The shops were ordinary ones before, and their customers keep paying there.
    """

    typology, stream, share, mean_size = Typology.RELAY_ATTACK, RandomStream.RELAY_ATTACK, 0.0, 4.5
    campaign_days, campaign_incidents = (10, 20), 0.6
    keeps_merchants = True

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose a mule merchant: a shop of low popularity, in a city where many cardholders live."""
        merchants = population.merchants
        residents = np.bincount(population.cards.home_city, minlength=int(merchants.city.max()) + 1)
        in_categories = np.isin(merchants.category, [CODES.index(code) for code in _MULE_CATEGORIES])
        suitable = in_categories & (merchants.merchant_type == MerchantType.SHOP) & merchants.is_trading
        suitable &= residents[merchants.city] > population.cards.count / 50
        candidates = np.flatnonzero(suitable)
        order = np.argsort(merchants.popularity[candidates], kind="stable")
        campaign.merchants = rng.choice(candidates[order[: max(len(order) // 2, 1)]], 1)
        campaign.city = int(merchants.city[campaign.merchants[0]])

    def observe(
        self,
        population: Population,
        rng: np.random.Generator,
        campaign: Campaign,
        day: int,
        genuine: TransactionArray,
    ) -> None:
        """Give the mule merchant a new merchant id every other day."""
        if (day - campaign.first_day) % _MERCHANT_ID_DAYS == 0:
            population.merchants.assign_new_ids(campaign.merchants)

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return three to six contactless payments per card within the hour, with cards that are in the city."""
        cards = population.draw_in_city(rng, campaign.city, len(starts))
        sizes = rng.integers(3, 7, len(cards))
        row = np.repeat(np.arange(len(cards)), sizes)
        phones = population.devices.phones(population.cards.customer[cards])
        return transaction_array(
            occurred_at_ms=sequence(rng, starts[: len(cards)], sizes, (2 * MINUTE_MS, 12 * MINUTE_MS)),
            amount_minor=rng.integers(35, 50, len(row)) * 100,
            card=cards[row],
            merchant=np.repeat(campaign.merchants, len(row)),
            device=np.where(population.cards.has_wallet[cards], phones, NO_DEVICE)[row],
            channel=CONTACTLESS,
        )

    def usual_hour(self, rng: np.random.Generator) -> float:
        """Return an hour at which shops are open."""
        return float(rng.uniform(10.0, 18.0))
