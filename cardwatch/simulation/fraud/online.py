"""Fraud in online shops: testing and enumerating card numbers, using stolen card data, and taking over accounts."""

from __future__ import annotations

import numpy as np

from cardwatch.simulation.cards import FAVOURITE_ONLINE
from cardwatch.simulation.fraud.attack import Attack
from cardwatch.simulation.fraud.campaign import Campaign, amounts, draw_target_merchants, sequence
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream
from cardwatch.simulation.transaction_array import (
    ECOMMERCE,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Ints,
    TransactionArray,
    Typology,
    empty_transactions,
    transaction_array,
)

_SMALL_MINOR = (50, 300)
"""Amounts of tests, in minor units."""


class CardTesting(Attack):
    """Card testing: stolen numbers are tried with tiny payments at one of a few merchants; large purchases follow.

    The numbers come from anywhere. What recurs are the merchants of the tests, those of the purchases, and the devices.
    """

    typology, stream, share, mean_size = Typology.CARD_TESTING, RandomStream.CARD_TESTING, 0.16, 4.5
    campaign_days, campaign_incidents = (4, 12), 2.0

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose two merchants for tests, four for purchases, and three devices."""
        campaign.test_merchants = population.merchants.online.draw_ungrouped(rng, 2)
        campaign.merchants = draw_target_merchants(population, rng, 4)
        campaign.devices = population.devices.create(3)

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return two to four tests within minutes, then one or two purchases within hours, per card."""
        count = len(starts)
        cards, devices = population.cards.draw(rng, count), campaign.draw_devices(rng, count)
        sizes = rng.integers(2, 5, count)
        of_test = np.repeat(np.arange(count), sizes)
        times = sequence(rng, starts, sizes, (1 * MINUTE_MS, 12 * MINUTE_MS))
        tests = transaction_array(
            occurred_at_ms=times,
            amount_minor=rng.integers(*_SMALL_MINOR, len(times)),
            card=cards[of_test],
            merchant=rng.choice(campaign.test_merchants, len(times)),
            device=devices[of_test],
            channel=ECOMMERCE,
        )
        after = times[np.cumsum(sizes) - 1] + rng.integers(5 * MINUTE_MS, 240 * MINUTE_MS, count)
        purchases = _purchases(population, rng, campaign.merchants, cards, devices, after, rng.integers(1, 3, count))
        return np.concatenate([tests, purchases])


class Enumeration(Attack):
    """Enumeration: numbers of one range are guessed and tried in a burst at one merchant; a few hits are used later.

    Only the hits are seen here, because a guess that is nobody's number never reaches the issuer's log.
    """

    typology, stream, share, mean_size = Typology.ENUMERATION, RandomStream.ENUMERATION, 0.08, 18.0
    campaign_days, campaign_incidents = (3, 8), 0.5

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose a range, one merchant for the guesses, three for purchases, and two devices."""
        campaign.cards = population.cards.of_range(int(rng.integers(population.cards.ranges)))
        campaign.test_merchants = population.merchants.online.draw_ungrouped(rng, 1)
        campaign.merchants = draw_target_merchants(population, rng, 3)
        campaign.devices = population.devices.create(2)

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return a burst of tests within the hour, of 8 to 24 cards, and purchases with one in eight of them."""
        made = []
        for start in starts.tolist():
            cards = rng.permutation(campaign.cards)[: int(rng.integers(8, 25))]
            times = start + np.sort(rng.integers(0, 50 * MINUTE_MS, len(cards)))
            made.append(
                transaction_array(
                    occurred_at_ms=times,
                    amount_minor=rng.integers(*_SMALL_MINOR, len(cards)),
                    card=cards,
                    merchant=np.repeat(campaign.test_merchants, len(cards)),
                    device=campaign.draw_devices(rng, len(cards)),
                    channel=ECOMMERCE,
                )
            )
            used = cards[rng.random(len(cards)) < 0.125]
            later = start + rng.integers(1 * HOUR_MS, 30 * HOUR_MS, len(used))
            devices = campaign.draw_devices(rng, len(used))
            made.append(_purchases(population, rng, campaign.merchants, used, devices, later, np.ones_like(used)))
        return np.concatenate(made)


class StolenCardData(Attack):
    """Card-not-present fraud with stolen data: larger purchases at a few merchants, from a few devices.

    Half of the campaigns hold the data of one breached online merchant, whose customers' cards they collected before;
    the others have bought numbers from anywhere.
    """

    typology, stream, share, mean_size = Typology.STOLEN_CARD_DATA, RandomStream.STOLEN_CARD_DATA, 0.24, 2.5
    campaign_days, campaign_incidents = (14, 30), 1.5

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose five merchants and three devices; breach a merchant for the first third of the campaign."""
        campaign.merchants = draw_target_merchants(population, rng, 5)
        campaign.devices = population.devices.create(3)
        if rng.random() < 0.5:
            campaign.breach(population.merchants.online.draw_ungrouped(rng, 1), share_of_time=1 / 3)

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return one to four purchases per card, hours apart."""
        count = len(starts)
        cards = campaign.take_cards(rng, count) if campaign.is_breach else population.cards.draw(rng, count)
        devices = campaign.draw_devices(rng, len(cards))
        sizes = rng.integers(1, 5, len(cards))
        return _purchases(population, rng, campaign.merchants, cards, devices, starts[: len(cards)], sizes)


class AccountTakeover(Attack):
    """Account takeover: larger purchases from the fraudster's device, at the holder's usual merchants and at others."""

    typology, stream, share, mean_size = Typology.ACCOUNT_TAKEOVER, RandomStream.ACCOUNT_TAKEOVER, 0.10, 2.5
    campaign_days, campaign_incidents = (6, 15), 0.8

    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Choose four merchants and two devices, with which one account after the other is taken over."""
        campaign.merchants = draw_target_merchants(population, rng, 4)
        campaign.devices = population.devices.create(2)

    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return one to four purchases per account within hours."""
        cards, sizes = population.cards.draw(rng, len(starts)), rng.integers(1, 5, len(starts))
        row = np.repeat(np.arange(len(cards)), sizes)
        favourite = population.cards.favourite_online[cards[row], rng.integers(0, FAVOURITE_ONLINE, len(row))]
        merchants = np.where(rng.random(len(row)) < 0.5, favourite, rng.choice(campaign.merchants, len(row)))
        return transaction_array(
            occurred_at_ms=sequence(rng, starts, sizes, (2 * MINUTE_MS, 3 * HOUR_MS)),
            amount_minor=amounts(population, rng, cards[row], merchants, 3.0),
            card=cards[row],
            merchant=merchants,
            device=campaign.draw_devices(rng, len(cards))[row],
            channel=ECOMMERCE,
        )


def _purchases(
    population: Population,
    rng: np.random.Generator,
    merchants: Ints,
    cards: Ints,
    devices: Ints,
    starts: Ints,
    sizes: Ints,
) -> TransactionArray:
    """Return online purchases at some of `merchants`: `sizes` of them per card, for about 2.5 times its amounts."""
    if len(cards) == 0:
        return empty_transactions()
    row = np.repeat(np.arange(len(cards)), sizes)
    chosen = rng.choice(merchants, len(row))
    return transaction_array(
        occurred_at_ms=sequence(rng, starts, sizes, (20 * SECOND_MS, 3 * HOUR_MS)),
        amount_minor=amounts(population, rng, cards[row], chosen, 2.5),
        card=cards[row],
        merchant=chosen,
        device=devices[row],
        channel=ECOMMERCE,
    )
