"""Fraud in person: lost and stolen cards, skimmed terminals, and copied magnetic stripes."""

from __future__ import annotations

import numpy as np

from cardwatch.simulation.cities import CITIES
from cardwatch.simulation.fraud.attack import Attack
from cardwatch.simulation.fraud.campaign import Campaign, amounts, draw_target_merchants, sequence
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream
from cardwatch.simulation.transaction_array import (
    ATM,
    CONTACTLESS,
    CONTACTLESS_LIMIT_MINOR,
    ECOMMERCE,
    HOUR_MS,
    MINUTE_MS,
    NO_DEVICE,
    SWIPE,
    Ints,
    TransactionArray,
    Typology,
    empty_transactions,
    transaction_array,
)


class LostStolenCard(Attack):
    """Lost or stolen card: the finder pays contactless in shops of the city until the holder notices, hours later.

    What recurs are the finder's shops. One in three knows the PIN and withdraws cash.
    """

    typology, stream, share, mean_size = Typology.LOST_STOLEN_CARD, RandomStream.LOST_STOLEN_CARD, 0.10, 5.0
    campaign_days, campaign_incidents = (8, 30), 0.3

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose a city by its residents, and four shops in it."""
        campaign.city = int(population.cards.home_city[population.cards.draw(rng, 1)[0]])
        campaign.merchants = population.merchants.shops.draw(rng, np.full(4, campaign.city))

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return three to seven payments per card within a few hours."""
        cards = population.draw_in_city(rng, campaign.city, len(starts))
        sizes = rng.integers(3, 8, len(cards))
        row = np.repeat(np.arange(len(cards)), sizes)
        merchants = rng.choice(campaign.merchants, len(row))
        paid = np.minimum(amounts(population, rng, cards[row], merchants, 1.4), CONTACTLESS_LIMIT_MINOR - 1)
        is_last = np.append(row[1:] != row[:-1], True)[: len(row)]
        is_cash = is_last & (rng.random(len(cards)) < 1 / 3)[row]
        machine = population.merchants.cash_machines.draw(rng, np.full(len(row), campaign.city))
        return transaction_array(
            occurred_at_ms=sequence(rng, starts[: len(cards)], sizes, (4 * MINUTE_MS, 70 * MINUTE_MS)),
            amount_minor=np.where(is_cash, rng.integers(10, 51, len(row)) * 1_000, paid),
            card=cards[row],
            merchant=np.where(is_cash, machine, merchants),
            device=NO_DEVICE,
            channel=np.where(is_cash, ATM, CONTACTLESS),
        )

    def usual_hour(self, rng: np.random.Generator) -> float:
        """Return an hour at which shops are open."""
        return float(rng.uniform(9.0, 19.0))


class CounterfeitCard(Attack):
    """Counterfeit card: copied magnetic stripes are used in a city where their holders are not, at the same shops."""

    typology, stream, share, mean_size = Typology.COUNTERFEIT_CARD, RandomStream.COUNTERFEIT_CARD, 0.06, 3.0
    campaign_days, campaign_incidents = (6, 14), 0.5

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose a city, and four shops in it that sell what is easy to resell."""
        _equip_abroad(population, rng, campaign)

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return two to four payments per card within hours; the last may be at a cash machine."""
        cards = population.cards.draw(rng, len(starts))
        cards = cards[population.travel.city[cards] != campaign.city]
        return _swipes(population, rng, campaign, cards, starts[: len(cards)])


class Skimming(Attack):
    """Skimming: a terminal copies the cards that pay at it. After some quiet days they are used elsewhere.

    Half of the cards are used online, half as counterfeits at shops of another city: the terminal is their common point
    of purchase, and nothing else links them before the campaign's merchants and devices recur.
    """

    typology, stream, share, mean_size = Typology.SKIMMING, RandomStream.SKIMMING, 0.12, 2.7
    campaign_days, campaign_incidents = (20, 36), 1.0

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose the terminal: a shop that is visited often; shops in another city, online merchants, devices."""
        _equip_abroad(population, rng, campaign)
        campaign.test_merchants = draw_target_merchants(population, rng, 4)
        campaign.devices = population.devices.create(3)
        home = population.cards.home_city[population.cards.draw(rng, 1)]
        terminal = population.merchants.shops.draw(rng, home)
        campaign.breach(terminal, share_of_time=0.3, dormant_days=int(rng.integers(3, 10)))

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return two to four payments per card, online or abroad."""
        cards = campaign.take_cards(rng, len(starts))
        is_online = rng.random(len(cards)) < 0.5
        starts = starts[: len(cards)]
        online, sizes = cards[is_online], rng.integers(1, 4, int(is_online.sum()))
        row = np.repeat(np.arange(len(online)), sizes)
        merchants = rng.choice(campaign.test_merchants, len(row))
        purchases = transaction_array(
            occurred_at_ms=sequence(rng, starts[is_online], sizes, (5 * MINUTE_MS, 4 * HOUR_MS)),
            amount_minor=amounts(population, rng, online[row], merchants, 2.2),
            card=online[row],
            merchant=merchants,
            device=campaign.draw_devices(rng, len(online))[row],
            channel=ECOMMERCE,
        )
        return np.concatenate([purchases, _swipes(population, rng, campaign, cards[~is_online], starts[~is_online])])


def _equip_abroad(population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
    campaign.city = int(rng.integers(len(CITIES)))
    campaign.merchants = population.merchants.target_shops.draw(rng, np.full(4, campaign.city))


def _swipes(
    population: Population, rng: np.random.Generator, campaign: Campaign, cards: Ints, starts: Ints
) -> TransactionArray:
    """Return two to four payments by magnetic stripe per card at the campaign's shops, maybe cash at last."""
    if len(cards) == 0:
        return empty_transactions()
    sizes = rng.integers(2, 5, len(cards))
    row = np.repeat(np.arange(len(cards)), sizes)
    merchants = rng.choice(campaign.merchants, len(row))
    is_last = np.append(row[1:] != row[:-1], True)
    is_cash = is_last & (rng.random(len(cards)) < 0.3)[row]
    machine = population.merchants.cash_machines.draw(rng, np.full(len(row), campaign.city))
    return transaction_array(
        occurred_at_ms=sequence(rng, starts, sizes, (8 * MINUTE_MS, 90 * MINUTE_MS)),
        amount_minor=np.where(
            is_cash, rng.integers(5, 41, len(row)) * 1_000, amounts(population, rng, cards[row], merchants, 1.5)
        ),
        card=cards[row],
        merchant=np.where(is_cash, machine, merchants),
        device=NO_DEVICE,
        channel=np.where(is_cash, ATM, SWIPE),
    )
