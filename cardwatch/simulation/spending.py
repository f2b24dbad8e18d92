"""Genuine spending: purchases in shops and online, and cash withdrawals."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import MAX_AMOUNT_MINOR
from cardwatch.simulation.calendar_day import CalendarDay
from cardwatch.simulation.cards import FAVOURITE_ONLINE, FAVOURITE_SHOPS, draw_online
from cardwatch.simulation.categories import HOURS, MERCHANT_TYPES, MerchantType
from cardwatch.simulation.merchants import COUNTRY_OF_CITY
from cardwatch.simulation.population import Population
from cardwatch.simulation.timeline import Regime
from cardwatch.simulation.transaction_array import (
    ATM,
    CHIP,
    CONTACTLESS,
    CONTACTLESS_LIMIT_MINOR,
    ECOMMERCE,
    HOUR_MS,
    NO_DEVICE,
    SWIPE,
    Ints,
    TransactionArray,
    transaction_array,
)

Floats = NDArray[np.float64]

_FAVOURITE_SHARE: Final = 0.78
"""Share of purchases at a favourite merchant."""
_NEWCOMER_SHARE: Final = 0.23
"""Share of the new online merchants in the online purchases at no favourite, once they are popular."""
_LARGE_PURCHASE_PROBABILITY, _NIGHT_PROBABILITY, _BUSY_DAY_PROBABILITY = 0.008, 0.04, 0.006
"""Unusual genuine behaviour: a large purchase, a purchase at night, a day with many purchases."""
_BORROWED_DEVICE_PROBABILITY, _HIDDEN_DEVICE_PROBABILITY = 0.02, 0.03
_SATURDAY: Final = 5
_SATURDAY_RATIO, _SUNDAY_RATIO = 1.15, 0.85
"""Purchases relative to a card's mean on weekend days."""
_HOLIDAY_RATIO: Final = 0.7
"""Purchases on a public holiday relative to another day."""
_REST_DAY_HOURS_LATER: Final = 1.0
_MONTHS_PER_DAY: Final = 12 / 365.25
_USUAL_HOURS_SPREAD: Final = 2.8
"""Standard deviation of the hour of a purchase around the usual one, in hours."""


def expected_daily_transactions(population: Population) -> float:
    """Return the expected number of genuine transactions a day, averaged over the year."""
    cards = population.cards
    purchases = cards.daily_rate * (5.0 + 2.0 * cards.weekend_ratio) / 7.0
    busy_days = _BUSY_DAY_PROBABILITY * (purchases + 4.0)
    return float((purchases + busy_days + cards.subscription_rate * _MONTHS_PER_DAY).sum())


def simulate_purchases(
    population: Population, rng: np.random.Generator, start_ms: int, today: CalendarDay, regime: Regime
) -> TransactionArray:
    """Return the purchases and withdrawals of `today`, which begins at `start_ms`."""
    card = _draw_cards(population, rng, today, regime)
    merchant_type = _draw_merchant_types(population, rng, card, regime.ecommerce_ratio * today.online_ratio)
    merchant = _draw_merchants(population, rng, card, merchant_type, today, regime)
    amount = _draw_amounts(population, rng, card, merchant, merchant_type, regime)
    hours_later = regime.hours_later + (_REST_DAY_HOURS_LATER if today.is_rest_day else 0.0)
    hour = _draw_hours(population, rng, card, merchant, merchant_type, hours_later)
    channel = _draw_channels(population, rng, card, merchant_type, amount)
    return transaction_array(
        occurred_at_ms=start_ms + np.floor(hour * HOUR_MS).astype(np.int64),
        amount_minor=amount,
        card=card,
        merchant=merchant,
        device=_draw_devices(population, rng, card, channel),
        channel=channel,
    )


def _draw_cards(population: Population, rng: np.random.Generator, today: CalendarDay, regime: Regime) -> Ints:
    """Return the card of each purchase. On some days a card makes many more purchases than usual."""
    cards = population.cards
    mean = cards.daily_rate * today.purchases_by_pay_day()[cards.pay_day]
    if today.weekday >= _SATURDAY:
        mean *= cards.weekend_ratio * (_SATURDAY_RATIO if today.weekday == _SATURDAY else _SUNDAY_RATIO)
    mean = np.where(rng.random(cards.count) < _BUSY_DAY_PROBABILITY, mean * 2 + 4, mean)
    ratio = regime.transaction_ratio * today.purchase_ratio * (_HOLIDAY_RATIO if today.is_holiday else 1.0)
    return np.repeat(np.arange(cards.count), rng.poisson(mean * ratio))


def _draw_merchant_types(population: Population, rng: np.random.Generator, card: Ints, online_ratio: float) -> Ints:
    """Draw shop, online merchant or cash machine. Cards away from home are used less online."""
    cards = population.cards
    online = cards.ecommerce_share[card] * online_ratio * np.where(population.travel.away[card], 0.5, 1.0)
    draw = rng.random(len(card))
    cash = draw > 1.0 - cards.cash_share[card]
    not_cash = np.where(draw < online, MerchantType.ONLINE, MerchantType.SHOP)
    return np.where(cash, MerchantType.ATM, not_cash).astype(np.int64)


def _draw_merchants(
    population: Population,
    rng: np.random.Generator,
    card: Ints,
    merchant_type: Ints,
    today: CalendarDay,
    regime: Regime,
) -> Ints:
    """Draw a favourite merchant mostly, else one by popularity: in the card's present city, or online."""
    merchants = population.merchants
    merchant = np.empty_like(card)
    for of_type in (MerchantType.SHOP, MerchantType.ONLINE, MerchantType.ATM):
        rows = np.flatnonzero(merchant_type == of_type)
        if of_type is MerchantType.SHOP:
            merchant[rows] = _draw_shops(population, rng, card[rows], today)
        elif of_type is MerchantType.ONLINE:
            merchant[rows] = _draw_online_merchants(population, rng, card[rows], regime)
        else:
            merchant[rows] = merchants.cash_machines.draw(rng, population.travel.city[card[rows]])
    for category, ratio in regime.category_ratios.items():
        _scale_category(population, rng, card, merchant, category, ratio, today)
    return merchant


def _draw_shops(population: Population, rng: np.random.Generator, card: Ints, today: CalendarDay) -> Ints:
    """Draw shops; on a Sunday or public holiday another one where the favourite is closed."""
    cards, merchants, travel = population.cards, population.merchants, population.travel
    shop = cards.favourite_shops[card, _draw_ranks(rng, len(card), FAVOURITE_SHOPS)]
    is_other = (rng.random(len(card)) >= _FAVOURITE_SHARE) | travel.away[card]
    if today.is_rest_day:
        is_other |= ~merchants.opens_on_rest_days[shop]
    others = np.flatnonzero(is_other)
    sampler = merchants.shops_on_rest_days if today.is_rest_day else merchants.shops
    shop[others] = sampler.draw(rng, travel.city[card[others]])
    return shop


def _draw_online_merchants(population: Population, rng: np.random.Generator, card: Ints, regime: Regime) -> Ints:
    cards, merchants = population.cards, population.merchants
    merchant = cards.favourite_online[card, _draw_ranks(rng, len(card), FAVOURITE_ONLINE)]
    favourite_share = _FAVOURITE_SHARE * (0.75 if regime.new_online_merchants else 1.0)
    others = np.flatnonzero(rng.random(len(card)) >= favourite_share)
    merchant[others] = draw_online(rng, merchants, COUNTRY_OF_CITY[cards.home_city[card[others]]])
    if regime.new_online_merchants:
        moved = others[rng.random(len(others)) < _NEWCOMER_SHARE]
        merchant[moved] = merchants.popular_newcomers.draw_ungrouped(rng, len(moved))
    return merchant


def _draw_ranks(rng: np.random.Generator, count: int, favourites: int) -> Ints:
    """Return which of the favourites is meant: the first ones more often."""
    return np.floor(rng.random(count) ** 1.7 * favourites).astype(np.int64)


def _scale_category(
    population: Population,
    rng: np.random.Generator,
    card: Ints,
    merchant: Ints,
    category: int,
    ratio: float,
    today: CalendarDay,
) -> None:
    """Multiply the purchases in a category by about `ratio`, at the expense or to the gain of its type's others."""
    merchants = population.merchants
    samplers = merchants.samplers_of(category, is_rest_day=today.is_rest_day)
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
    rounded = np.where(merchant_type == MerchantType.ATM, in_tens, np.rint(amount))
    return np.minimum(rounded, MAX_AMOUNT_MINOR).astype(np.int64)


def _draw_hours(
    population: Population,
    rng: np.random.Generator,
    card: Ints,
    merchant: Ints,
    merchant_type: Ints,
    hours_later: float,
) -> Floats:
    """Draw the hour of the day: around the category's typical hour plus the card's shift, rarely at night.

    Nobody buys in a shop that is closed at that hour: these purchases are made when it is open.
    """
    merchants = population.merchants
    hour: Floats = HOURS[merchants.category[merchant]] + population.cards.hour_shift[card] + hours_later
    hour = (hour + rng.normal(0.0, _USUAL_HOURS_SPREAD, len(card))) % 24.0
    at_night = np.flatnonzero(rng.random(len(card)) < _NIGHT_PROBABILITY)
    hour[at_night] = rng.uniform(0.0, 6.0, len(at_night))
    in_shop = np.flatnonzero(merchant_type == MerchantType.SHOP)
    closed = in_shop[merchants.hours_until_open(merchant[in_shop], hour[in_shop]) > 0.0]
    hour[closed] = merchants.draw_open_hours(rng, merchant[closed])
    return hour


def _draw_channels(
    population: Population, rng: np.random.Generator, card: Ints, merchant_type: Ints, amount: Ints
) -> Ints:
    """Draw contactless for small amounts, chip for large ones, and the magnetic stripe for a few."""
    draw = rng.random(len(card))
    contactless = draw < np.where(
        amount <= CONTACTLESS_LIMIT_MINOR, 0.95, np.where(population.cards.has_wallet[card], 0.8, 0.0)
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
