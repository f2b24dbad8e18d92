"""Subscriptions: recurring payments on a day of the month, with prices that change now and then."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.calendar_day import CalendarDay
from cardwatch.simulation.population import Population
from cardwatch.simulation.transaction_array import (
    DAY_MS,
    NO_DEVICE,
    RECURRING,
    Ints,
    TransactionArray,
    transaction_array,
)

_PRICE_CHANGE_PROBABILITY: Final = 1 / 540
"""Probability per merchant and day that it changes its prices: about every one and a half years."""
_PRICE_CHANGE_RATIOS: Final = (0.98, 1.14)
_CANCELLATION_PROBABILITY: Final = 0.02
"""Probability per payment that the holder cancels after it, and subscribes to something else."""
_LEAST_PRICE_MINOR: Final = 99


class Subscriptions:
    """All subscriptions. Each is paid on its day of the month, or on the last one of shorter months, before 6:00 UTC.

    A card has none to several. A merchant changes the price of all its subscriptions at once. Those of a merchant that
    has closed are replaced by others, as are those that are cancelled.
    """

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        self._population = population
        self._card = np.repeat(np.arange(population.cards.count), rng.poisson(population.cards.subscription_rate))
        self._merchant = np.zeros(len(self._card), dtype=np.int64)
        self._price_minor = np.zeros(len(self._card), dtype=np.int64)
        self._day_of_month = np.zeros(len(self._card), dtype=np.int64)
        self._price_ratio: NDArray[np.float64] = np.ones(population.merchants.count)
        self._subscribe(rng, np.arange(len(self._card)))

    def _subscribe(self, rng: np.random.Generator, which: Ints) -> None:
        """Choose merchant, price and day of the month of these subscriptions. Prices end on 99."""
        merchant = self._population.merchants.subscriptions.draw_ungrouped(rng, len(which))
        usual = self._population.usual_amounts(rng, self._card[which], merchant)
        self._merchant[which] = merchant
        # The price at which the present one is reached, after all changes of the merchant's prices so far.
        self._price_minor[which] = np.rint(_ending_on_99(usual) / self._price_ratio[merchant])
        self._day_of_month[which] = rng.integers(1, 32, len(which))

    def due(self, rng: np.random.Generator, today: CalendarDay, start_ms: int) -> TransactionArray:
        """Return the payments of `today`, which begins at `start_ms`."""
        changed = np.flatnonzero(rng.random(len(self._price_ratio)) < _PRICE_CHANGE_PROBABILITY)
        self._price_ratio[changed] *= rng.uniform(*_PRICE_CHANGE_RATIOS, len(changed))
        is_due = self._day_of_month == today.date.day
        if today.is_last_of_month:
            is_due |= self._day_of_month > today.date.day
        due = np.flatnonzero(is_due)
        self._subscribe(rng, due[~self._population.merchants.is_trading[self._merchant[due]]])
        merchant = self._merchant[due]
        payments = transaction_array(
            occurred_at_ms=start_ms + rng.integers(0, DAY_MS // 4, len(due)),
            amount_minor=_ending_on_99(self._price_minor[due] * self._price_ratio[merchant]),
            card=self._card[due],
            merchant=merchant,
            device=NO_DEVICE,
            channel=RECURRING,
        )
        self._subscribe(rng, due[rng.random(len(due)) < _CANCELLATION_PROBABILITY])
        return payments


def _ending_on_99(amount_minor: Ints | NDArray[np.float64]) -> Ints:
    """Return the nearest prices of 0.99, 1.99, 2.99 ... in minor units."""
    return np.maximum(np.rint((amount_minor + 1) / 100).astype(np.int64) * 100 - 1, _LEAST_PRICE_MINOR)
