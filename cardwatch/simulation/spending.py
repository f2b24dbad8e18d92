"""Genuine spending: purchases in shops and online, cash withdrawals, and subscriptions."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.cards import FAVOURITE_ONLINE, FAVOURITE_SHOPS
from cardwatch.simulation.categories import HOURS, MERCHANT_TYPES, MerchantType
from cardwatch.simulation.population import Population
from cardwatch.simulation.timeline import Regime
from cardwatch.simulation.transaction_array import (
    ATM,
    CHIP,
    CONTACTLESS,
    CONTACTLESS_LIMIT_MINOR,
    DAY_MS,
    ECOMMERCE,
    HOUR_MS,
    NO_DEVICE,
    RECURRING,
    SWIPE,
    Ints,
    TransactionArray,
    transaction_array,
)

Floats = NDArray[np.float64]

_FAVOURITE_SHARE: Final = 0.78
"""Share of purchases at a favourite merchant."""
_SUBSCRIPTIONS_PER_CARD: Final = 2
_LARGE_PURCHASE_PROBABILITY, _NIGHT_PROBABILITY, _BUSY_DAY_PROBABILITY = 0.008, 0.012, 0.006
"""Unusual genuine behaviour: a large purchase, a purchase at night, a day with many purchases."""
_BORROWED_DEVICE_PROBABILITY, _HIDDEN_DEVICE_PROBABILITY = 0.02, 0.03
_SATURDAY: Final = 5


def expected_daily_transactions(population: Population) -> float:
    """Return the expected number of genuine transactions a day, averaged over the week."""
    cards = population.cards
    purchases = cards.daily_rate * (5.0 + 2.0 * cards.weekend_ratio) / 7.0
    busy_days = _BUSY_DAY_PROBABILITY * (purchases + 4.0)
    return float((purchases + busy_days).sum()) + cards.count * _SUBSCRIPTIONS_PER_CARD / 30


def simulate_purchases(
    population: Population, rng: np.random.Generator, start_ms: int, weekday: int, regime: Regime
) -> TransactionArray:
    """Return the purchases and withdrawals of the day that begins at `start_ms`. `weekday`: 0 is Monday."""
    card = _draw_cards(population, rng, weekday, regime)
    merchant_type = _draw_merchant_types(population, rng, card, regime)
    merchant = _draw_merchants(population, rng, card, merchant_type, regime)
    amount = _draw_amounts(population, rng, card, merchant, merchant_type, regime)
    hour = _draw_hours(population, rng, card, merchant, regime)
    channel = _draw_channels(population, rng, card, merchant_type, amount)
    return transaction_array(
        occurred_at_ms=start_ms + np.floor(hour * HOUR_MS).astype(np.int64),
        amount_minor=amount,
        card=card,
        merchant=merchant,
        device=_draw_devices(population, rng, card, channel),
        channel=channel,
    )


def _draw_cards(population: Population, rng: np.random.Generator, weekday: int, regime: Regime) -> Ints:
    """Return the card of each purchase. On some days a card makes many more purchases than usual."""
    cards = population.cards
    mean = cards.daily_rate * (cards.weekend_ratio if weekday >= _SATURDAY else 1.0)
    mean = np.where(rng.random(cards.count) < _BUSY_DAY_PROBABILITY, mean * 2 + 4, mean)
    return np.repeat(np.arange(cards.count), rng.poisson(mean * regime.transaction_ratio))


def _draw_merchant_types(population: Population, rng: np.random.Generator, card: Ints, regime: Regime) -> Ints:
    """Draw shop, online merchant or cash machine. Cards away from home are used less online."""
    cards = population.cards
    online = cards.ecommerce_share[card] * regime.ecommerce_ratio * np.where(population.travel.away[card], 0.5, 1.0)
    draw = rng.random(len(card))
    cash = draw > 1.0 - cards.cash_share[card]
    not_cash = np.where(draw < online, MerchantType.ONLINE, MerchantType.SHOP)
    return np.where(cash, MerchantType.ATM, not_cash).astype(np.int64)


def _draw_merchants(
    population: Population, rng: np.random.Generator, card: Ints, merchant_type: Ints, regime: Regime
) -> Ints:
    """Draw a favourite merchant mostly, else one by popularity: in the card's present city, or online."""
    cards, merchants, travel = population.cards, population.merchants, population.travel
    rank = np.floor(rng.random(len(card)) ** 1.7 * FAVOURITE_SHOPS).astype(np.int64)
    is_favourite = rng.random(len(card)) < _FAVOURITE_SHARE
    shop = np.where(
        is_favourite & ~travel.away[card],
        cards.favourite_shops[card, rank],
        merchants.shops.draw(rng, travel.city[card]),
    )
    sampler = merchants.online_after_change if regime.new_online_merchants else merchants.online
    is_favourite = rng.random(len(card)) < _FAVOURITE_SHARE * (0.75 if regime.new_online_merchants else 1.0)
    favourite = cards.favourite_online[card, rank % FAVOURITE_ONLINE]
    online = np.where(is_favourite, favourite, sampler.draw_ungrouped(rng, len(card)))
    cash_machine = merchants.cash_machines.draw(rng, travel.city[card])
    merchant: Ints = np.choose(merchant_type, [shop, online, cash_machine])
    for category, ratio in regime.category_ratios.items():
        _scale_category(population, rng, card, merchant, category, ratio)
    return merchant


def _scale_category(
    population: Population, rng: np.random.Generator, card: Ints, merchant: Ints, category: int, ratio: float
) -> None:
    """Multiply the purchases in a category by about `ratio`, at the expense or to the gain of its type's others."""
    merchants = population.merchants
    samplers = merchants.samplers_of(category)
    place = population.travel.city[card] if samplers.is_local else np.zeros_like(card)
    same_type = merchants.merchant_type[merchant] == MERCHANT_TYPES[category]
    has_both = samplers.category.has_members(place) & samplers.others.has_members(place)
    candidates = np.flatnonzero(same_type & has_both)
    is_member = merchants.category[merchant[candidates]] == category
    members, others = candidates[is_member], candidates[~is_member]
    if ratio >= 1.0:
        moved = others[rng.random(len(others)) < (ratio - 1.0) * len(members) / max(len(others), 1)]
        merchant[moved] = samplers.category.draw(rng, place[moved])
    else:
        moved = members[rng.random(len(members)) >= ratio]
        merchant[moved] = samplers.others.draw(rng, place[moved])


def _draw_amounts(
    population: Population, rng: np.random.Generator, card: Ints, merchant: Ints, merchant_type: Ints, regime: Regime
) -> Ints:
    """Draw the amounts in minor units: mostly usual ones, some large; cash in tens, some prices whole."""
    amount = population.usual_amounts(rng, card, merchant) * regime.amount_ratio
    is_large = rng.random(len(card)) < _LARGE_PURCHASE_PROBABILITY
    amount = np.where(is_large, amount * rng.uniform(3.0, 10.0, len(card)), amount)
    is_whole = rng.random(len(card)) < 0.15
    amount = np.where(is_whole, np.maximum(np.rint(amount / 100), 1) * 100, amount)
    in_tens = np.maximum(np.rint(amount / 1000), 1) * 1000
    return np.where(merchant_type == MerchantType.ATM, in_tens, np.rint(amount)).astype(np.int64)


def _draw_hours(population: Population, rng: np.random.Generator, card: Ints, merchant: Ints, regime: Regime) -> Floats:
    """Draw the hour of the day: around the category's typical hour plus the card's shift; rarely at night."""
    cards, category = population.cards, population.merchants.category[merchant]
    hour = HOURS[category] + cards.hour_shift[card] + regime.hours_later
    hour = (hour + rng.normal(0.0, 2.8, len(card))) % 24.0
    at_night = rng.random(len(card)) < _NIGHT_PROBABILITY
    return np.where(at_night, rng.uniform(0.0, 6.0, len(card)), hour)


def _draw_channels(
    population: Population, rng: np.random.Generator, card: Ints, merchant_type: Ints, amount: Ints
) -> Ints:
    """Draw contactless for small amounts, chip for large ones, and the magnetic stripe for a few."""
    draw = rng.random(len(card))
    contactless = draw < np.where(
        amount <= CONTACTLESS_LIMIT_MINOR, 0.75, np.where(population.cards.has_wallet[card], 0.4, 0.0)
    )
    swipe = draw > np.where(population.travel.away[card], 0.90, 0.985)
    in_shop = np.where(contactless, CONTACTLESS, np.where(swipe, SWIPE, CHIP))
    return np.choose(merchant_type, [in_shop, ECOMMERCE, ATM])


def _draw_devices(population: Population, rng: np.random.Generator, card: Ints, channel: Ints) -> Ints:
    """Return the phone for contactless wallets; online one of the customer's devices, rarely an unknown one or none."""
    customer = population.cards.customer[card]
    online = population.devices.used_by(rng, customer)
    draw = rng.random(len(card))
    borrowed = np.flatnonzero((channel == ECOMMERCE) & (draw < _BORROWED_DEVICE_PROBABILITY))
    online[borrowed] = population.devices.create(len(borrowed))
    online[draw > 1.0 - _HIDDEN_DEVICE_PROBABILITY] = NO_DEVICE
    by_phone = (channel == CONTACTLESS) & population.cards.has_wallet[card]
    return np.where(channel == ECOMMERCE, online, np.where(by_phone, population.devices.phones(customer), NO_DEVICE))


class Subscriptions:
    """Recurring payments: the same merchant and amount every 30 days, between 0:00 and 6:00 UTC."""

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        count = population.cards.count * _SUBSCRIPTIONS_PER_CARD
        self._card = np.repeat(np.arange(population.cards.count), _SUBSCRIPTIONS_PER_CARD)
        self._merchant = population.merchants.subscriptions.draw_ungrouped(rng, count)
        self._amount_minor = population.usual_amounts(rng, self._card, self._merchant)
        self._day = rng.integers(0, 30, count)

    def due(self, rng: np.random.Generator, day: int, start_ms: int) -> TransactionArray:
        """Return the payments that are due on day number `day`, which begins at `start_ms`."""
        due = np.flatnonzero(self._day == day % 30)
        return transaction_array(
            occurred_at_ms=start_ms + rng.integers(0, DAY_MS // 4, len(due)),
            amount_minor=self._amount_minor[due],
            card=self._card[due],
            merchant=self._merchant[due],
            device=NO_DEVICE,
            channel=RECURRING,
        )
