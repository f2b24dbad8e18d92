"""Campaigns of fraudsters: what recurs in one operation, so that its transactions can be linked."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.simulation.population import Population
from cardwatch.simulation.transaction_array import HOUR_MS, NO_DEVICE, Ints, TransactionArray

_HIDDEN_DEVICE_PROBABILITY: Final = 0.15
"""Probability that a fraudster hides the device in an online purchase."""
_HOURS_OF_WORK: Final = 2.5
"""Standard deviation of the starts of a campaign's incidents around its usual hour, in hours."""
NOWHERE: Final = -1


class Campaign:
    """One operation of one group, with its tools: the same devices, merchants, hours and place again and again.

    `number` identifies it in the ground truth, from 1 on, and `group` its group among those of its typology, from 0 on.
    It lasts from day `first_day` to `last_day`, and strikes from
    `ready_day` on. `devices`, `merchants` and `cards` are indices, `city` an index or
    `NOWHERE`, `hour` the usual hour of the day (UTC) at which it starts.
    """

    def __init__(self, number: int, group: int, first_day: int, last_day: int, hour: float) -> None:
        self.number, self.group, self.hour = number, group, hour
        self.first_day, self.last_day = first_day, last_day
        self.ready_day = first_day
        self.devices = self.merchants = self.test_merchants = self.cards = np.zeros(0, np.int64)
        self.city = NOWHERE
        self._breached: Ints = np.zeros(0, np.int64)
        self._breach_ends = first_day

    @property
    def is_breach(self) -> bool:
        """Whether the campaign uses only cards that it has copied at a breached merchant."""
        return len(self._breached) > 0

    def can_strike(self, day: int) -> bool:
        """Return whether the campaign is prepared on this day, and has cards left."""
        return day >= self.ready_day and (len(self.cards) > 0 or not self.is_breach)

    def breach(self, merchants: Ints, *, share_of_time: float, dormant_days: int = 0) -> None:
        """Copy the cards that pay at these merchants for a share of the campaign, and use them `dormant_days` later."""
        self._breached = merchants
        self._breach_ends = self.first_day + max(round((self.last_day - self.first_day) * share_of_time), 2)
        self.ready_day = self._breach_ends + dormant_days

    def copy_cards(self, day: int, genuine: TransactionArray) -> None:
        """Copy the cards of the day's transactions at the breached merchants, while the breach lasts."""
        if self.is_breach and day < self._breach_ends:
            paid = genuine["card"][np.isin(genuine["merchant"], self._breached)]
            self.cards = np.union1d(self.cards, paid)

    def starts(self, rng: np.random.Generator, start_ms: int, count: int) -> Ints:
        """Return the starts of `count` incidents on the day that begins at `start_ms`."""
        hours = (self.hour + rng.normal(0.0, _HOURS_OF_WORK, count)) % 24.0
        return start_ms + np.floor(hours * HOUR_MS).astype(np.int64)

    def draw_devices(self, rng: np.random.Generator, count: int) -> Ints:
        """Return one of the devices for each of `count` incidents, or `NO_DEVICE` where it is hidden."""
        drawn = rng.choice(self.devices, count)
        return np.where(rng.random(count) < _HIDDEN_DEVICE_PROBABILITY, NO_DEVICE, drawn)

    def take_cards(self, rng: np.random.Generator, count: int) -> Ints:
        """Remove up to `count` of the collected cards in random order, and return them."""
        order = rng.permutation(len(self.cards))
        taken, self.cards = self.cards[order[:count]], self.cards[np.sort(order[count:])]
        return taken


def draw_target_merchants(population: Population, rng: np.random.Generator, count: int) -> Ints:
    """Return online merchants where goods are bought that are easy to resell; some are any popular ones."""
    targets = population.merchants.target_online.draw_ungrouped(rng, count)
    popular = population.merchants.online.draw_ungrouped(rng, count)
    return np.where(rng.random(count) < 0.8, targets, popular)


def sequence(rng: np.random.Generator, starts: Ints, sizes: Ints, gaps_ms: tuple[int, int]) -> Ints:
    """Return the times of incidents with `sizes` transactions each: the first at its start, the others after gaps.

    `gaps_ms`: least and largest gap in milliseconds.
    """
    gaps = rng.integers(gaps_ms[0], gaps_ms[1], int(sizes.sum()))
    first = np.cumsum(sizes) - sizes
    gaps[first] = 0
    passed = np.cumsum(gaps)
    times: Ints = np.repeat(starts, sizes) + passed - np.repeat(passed[first], sizes)
    return times


def amounts(population: Population, rng: np.random.Generator, cards: Ints, merchants: Ints, ratio: float) -> Ints:
    """Return amounts of about `ratio` times what each card usually pays at its merchant, in minor units."""
    usual = population.usual_amounts(rng, cards, merchants)
    return np.rint(usual * ratio * rng.lognormal(0.0, 0.4, len(cards))).astype(np.int64)
