"""Fraud by those who take part rightfully: merchants that charge too much, and holders who do not pay.

They do not react to declines, because the merchant, the card or the device is their own.
"""

from __future__ import annotations

import numpy as np

from cardwatch.simulation.fraud.attack import Attack
from cardwatch.simulation.fraud.campaign import Campaign, amounts, sequence
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream
from cardwatch.simulation.transaction_array import (
    CHIP,
    ECOMMERCE,
    HOUR_MS,
    MINUTE_MS,
    NO_DEVICE,
    Ints,
    TransactionArray,
    Typology,
    empty_transactions,
    transaction_array,
)


class MerchantCollusion(Attack):
    """Merchant collusion: a small online merchant charges cards of former customers, for about what they paid."""

    typology, stream, share, mean_size = Typology.MERCHANT_COLLUSION, RandomStream.MERCHANT_COLLUSION, 0.05, 1.5
    campaign_days, campaign_incidents = (15, 30), 0.8
    reacts = False

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose the merchant, which keeps its customers' data for the first half of the campaign."""
        merchant = population.merchants.online.draw_ungrouped(rng, 1)
        campaign.merchants = merchant
        campaign.breach(merchant, share_of_time=0.5)

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return one or two charges per card, hours apart, without a device of anyone."""
        cards = campaign.take_cards(rng, len(starts))
        if len(cards) == 0:
            return empty_transactions()
        sizes = rng.integers(1, 3, len(cards))
        row = np.repeat(np.arange(len(cards)), sizes)
        merchants = np.repeat(campaign.merchants, len(row))
        return transaction_array(
            occurred_at_ms=sequence(rng, starts[: len(cards)], sizes, (1 * HOUR_MS, 12 * HOUR_MS)),
            amount_minor=amounts(population, rng, cards[row], merchants, 1.5),
            card=cards[row],
            merchant=merchants,
            device=NO_DEVICE,
            channel=ECOMMERCE,
        )


class BustOut(Attack):
    """Bust-out: a ring of holders uses up its limits within days, with its own cards, and never pays.

    The holders behaved like others before. They know the same merchants that take anything back for cash.
    """

    typology, stream, share, mean_size = Typology.BUST_OUT, RandomStream.BUST_OUT, 0.05, 8.0
    campaign_days, campaign_incidents = (4, 10), 0.3
    reacts = False

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose a city by its residents, and three shops in it that sell what is easy to resell."""
        campaign.city = int(population.cards.home_city[population.cards.draw(rng, 1)[0]])
        campaign.merchants = population.merchants.target_shops.draw(rng, np.full(3, campaign.city))

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return five to eleven large purchases per card within two days."""
        cards = population.draw_in_city(rng, campaign.city, len(starts))
        sizes = rng.integers(5, 12, len(cards))
        row = np.repeat(np.arange(len(cards)), sizes)
        merchants = rng.choice(campaign.merchants, len(row))
        return transaction_array(
            occurred_at_ms=sequence(rng, starts[: len(cards)], sizes, (20 * MINUTE_MS, 9 * HOUR_MS)),
            amount_minor=amounts(population, rng, cards[row], merchants, 2.2),
            card=cards[row],
            merchant=merchants,
            device=NO_DEVICE,
            channel=CHIP,
        )

    def usual_hour(self, rng: np.random.Generator) -> float:
        """Return an hour at which shops are open."""
        return float(rng.uniform(9.0, 18.0))


class FriendlyFraud(Attack):
    """Friendly fraud: the holder buys online, from the own device, and disputes it later.

    It is no fraud of anyone else. The issuer's labels cannot tell it from one; the ground truth does. A holder who
    has done it does it again, at the same merchants.
    """

    typology, stream, share, mean_size = Typology.FRIENDLY_FRAUD, RandomStream.FRIENDLY_FRAUD, 0.04, 1.0
    campaign_days, campaign_incidents = (20, 60), 0.1
    reacts = False

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose the holder, and two merchants."""
        campaign.cards = population.cards.draw(rng, 1)
        campaign.merchants = population.merchants.online.draw_ungrouped(rng, 2)

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return one purchase each, for a little more than usual."""
        cards = np.repeat(campaign.cards, len(starts))
        merchants = rng.choice(campaign.merchants, len(starts))
        return transaction_array(
            occurred_at_ms=starts,
            amount_minor=amounts(population, rng, cards, merchants, 1.3),
            card=cards,
            merchant=merchants,
            device=population.devices.used_by(rng, population.cards.customer[cards]),
            channel=ECOMMERCE,
        )

    def usual_hour(self, rng: np.random.Generator) -> float:
        """Return an hour of the evening."""
        return float(rng.uniform(16.0, 23.0))
