"""What people do on an ordinary day: shops, the net, cash machines, standing payments, and now and then a surprise."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.cards import FAVOURITE_ONLINE, FAVOURITE_SHOPS
from cardwatch.simulation.categories import HOURS, Trade
from cardwatch.simulation.drafts import (
    ATM,
    CHIP,
    CONTACTLESS,
    DAY_MS,
    ECOMMERCE,
    HOUR_MS,
    NO_DEVICE,
    RECURRING,
    SWIPE,
    Drafts,
    Ints,
    draft,
)
from cardwatch.simulation.population import Population
from cardwatch.simulation.regimes import Regime

Floats = NDArray[np.float64]

_FAITHFUL: Final = 0.78
"""The part of visits that goes to a favourite merchant."""
_CONTACTLESS_LIMIT_MINOR: Final = 5_000
_SUBSCRIPTIONS_PER_CARD: Final = 2
_SPLURGE, _SLEEPLESS, _SPREE = 0.008, 0.012, 0.006
_BORROWED_DEVICE, _HIDDEN_DEVICE = 0.02, 0.03
_SATURDAY: Final = 5


def daily_mean(population: Population) -> float:
    """How many genuine transactions a day has, on average over the week."""
    cards = population.cards
    visits = cards.rate * (5.0 + 2.0 * cards.weekend) / 7.0
    spree = _SPREE * (visits + 4.0)
    return float((visits + spree).sum()) + cards.count * _SUBSCRIPTIONS_PER_CARD / 30


def shopping(population: Population, rng: np.random.Generator, start_ms: int, weekday: int, times: Regime) -> Drafts:
    """Everything that people pay of their own accord on the day that begins at `start_ms`. `weekday`: 0 is Monday."""
    card = _who(population, rng, weekday)
    trade = _how(population, rng, card, times)
    merchant = _where(population, rng, card, trade, times)
    amount = _how_much(population, rng, card, merchant, trade, times)
    hour = _when(population, rng, card, merchant, times)
    channel = _channels(population, rng, card, trade, amount)
    return draft(
        occurred_ms=start_ms + np.floor(hour * HOUR_MS).astype(np.int64),
        amount_minor=amount,
        card=card,
        merchant=merchant,
        device=_with_what(population, rng, card, channel),
        channel=channel,
    )


def _who(population: Population, rng: np.random.Generator, weekday: int) -> Ints:
    """One entry per purchase. Some days a card goes on a spree."""
    cards = population.cards
    mean = cards.rate * (cards.weekend if weekday >= _SATURDAY else 1.0)
    mean = np.where(rng.random(cards.count) < _SPREE, mean * 2 + 4, mean)
    return np.repeat(np.arange(cards.count), rng.poisson(mean))


def _how(population: Population, rng: np.random.Generator, card: Ints, times: Regime) -> Ints:
    """Shop, online or cash machine. Who is away buys less online."""
    cards = population.cards
    online = cards.ecommerce[card] * times.ecommerce_ratio * np.where(population.journeys.away[card], 0.5, 1.0)
    ticket = rng.random(len(card))
    cash = ticket > 1.0 - cards.cash[card]
    return np.where(cash, Trade.ATM, np.where(ticket < online, Trade.ONLINE, Trade.SHOP)).astype(np.int64)


def _where(population: Population, rng: np.random.Generator, card: Ints, trade: Ints, times: Regime) -> Ints:
    """A favourite mostly; else what is popular in the city where the card is, or on the net."""
    cards, merchants, journeys = population.cards, population.merchants, population.journeys
    rank = np.floor(rng.random(len(card)) ** 1.7 * FAVOURITE_SHOPS).astype(np.int64)
    faithful = rng.random(len(card)) < _FAITHFUL
    shop = np.where(
        faithful & ~journeys.away[card],
        cards.favourite_shops[card, rank],
        merchants.shops.draw(rng, journeys.city[card]),
    )
    on_the_net = merchants.online_later if times.newcomers else merchants.online
    loyal = rng.random(len(card)) < _FAITHFUL * (0.75 if times.newcomers else 1.0)
    online = np.where(loyal, cards.favourite_online[card, rank % FAVOURITE_ONLINE], on_the_net.draw_any(rng, len(card)))
    cash_machine = merchants.cash_machines.draw(rng, journeys.city[card])
    return np.choose(trade, [shop, online, cash_machine])


def _how_much(
    population: Population, rng: np.random.Generator, card: Ints, merchant: Ints, trade: Ints, times: Regime
) -> Ints:
    """The usual, at times several times that; cash comes in tens, and some prices are round."""
    amount = population.usual_amounts(rng, card, merchant) * times.amount_ratio
    splurge = rng.random(len(card)) < _SPLURGE
    amount = np.where(splurge, amount * rng.uniform(3.0, 10.0, len(card)), amount)
    whole = rng.random(len(card)) < 0.15
    amount = np.where(whole, np.maximum(np.rint(amount / 100), 1) * 100, amount)
    in_tens = np.maximum(np.rint(amount / 1000), 1) * 1000
    return np.where(trade == Trade.ATM, in_tens, np.rint(amount)).astype(np.int64)


def _when(population: Population, rng: np.random.Generator, card: Ints, merchant: Ints, times: Regime) -> Floats:
    """Hour of the day: the category's middle, moved by the card's habit; a sleepless night is any hour."""
    hour = HOURS[population.merchants.category[merchant]] + population.cards.hour_shift[card] + times.hours_later
    hour = (hour + rng.normal(0.0, 2.8, len(card))) % 24.0
    sleepless = rng.random(len(card)) < _SLEEPLESS
    return np.where(sleepless, rng.uniform(0.0, 6.0, len(card)), hour)


def _channels(population: Population, rng: np.random.Generator, card: Ints, trade: Ints, amount: Ints) -> Ints:
    """Contactless for small amounts, chip for large ones; a worn chip or an old terminal makes it a swipe."""
    ticket = rng.random(len(card))
    taps = ticket < np.where(
        amount <= _CONTACTLESS_LIMIT_MINOR, 0.75, np.where(population.cards.wallet[card], 0.4, 0.0)
    )
    swipes = ticket > np.where(population.journeys.away[card], 0.90, 0.985)
    in_shop = np.where(taps, CONTACTLESS, np.where(swipes, SWIPE, CHIP))
    return np.choose(trade, [in_shop, ECOMMERCE, ATM])


def _with_what(population: Population, rng: np.random.Generator, card: Ints, channel: Ints) -> Ints:
    """The phone for contactless wallets; online one's own device, at times a strange one or none that can be told."""
    customer = population.cards.customer[card]
    online = population.devices.used_by(rng, customer)
    ticket = rng.random(len(card))
    borrowed = np.flatnonzero((channel == ECOMMERCE) & (ticket < _BORROWED_DEVICE))
    online[borrowed] = population.devices.make(len(borrowed))
    online[ticket > 1.0 - _HIDDEN_DEVICE] = NO_DEVICE
    by_phone = (channel == CONTACTLESS) & population.cards.wallet[card]
    return np.where(channel == ECOMMERCE, online, np.where(by_phone, population.devices.phones(customer), NO_DEVICE))


class Subscriptions:
    """Standing payments: the same merchant, the same amount, once every 30 days in the small hours."""

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        count = population.cards.count * _SUBSCRIPTIONS_PER_CARD
        self._card = np.repeat(np.arange(population.cards.count), _SUBSCRIPTIONS_PER_CARD)
        self._merchant = population.merchants.subscriptions.draw_any(rng, count)
        self._amount_minor = population.usual_amounts(rng, self._card, self._merchant)
        self._day = rng.integers(0, 30, count)

    def due(self, rng: np.random.Generator, day: int, start_ms: int) -> Drafts:
        """What is collected on `day`."""
        now = np.flatnonzero(self._day == day % 30)
        return draft(
            occurred_ms=start_ms + rng.integers(0, DAY_MS // 4, len(now)),
            amount_minor=self._amount_minor[now],
            card=self._card[now],
            merchant=self._merchant[now],
            device=NO_DEVICE,
            channel=RECURRING,
        )
