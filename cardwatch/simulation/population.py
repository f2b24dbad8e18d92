"""Cards, merchants, devices and trips, as of the current day."""

from __future__ import annotations

import numpy as np

from cardwatch.simulation.calendar_day import CalendarDay
from cardwatch.simulation.cards import Cards, Devices, Travel
from cardwatch.simulation.categories import SPREADS, TYPICAL_MINOR
from cardwatch.simulation.merchants import Merchants
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.transaction_array import MIN_AMOUNT_MINOR, Ints


class Population:
    """Cards, merchants, devices and trips. `begin_day` advances all of them by one day."""

    def __init__(self, settings: SimulationSettings, streams: RandomStreams) -> None:
        self._streams = streams
        self.merchants = Merchants(streams, settings.merchants)
        self.cards = Cards(streams, settings.cards, self.merchants)
        self.devices = Devices(int(self.cards.customer[-1]) + 1)
        self.travel = Travel(self.cards.home_city)

    def begin_day(self, number: int, today: CalendarDay) -> None:
        """Let merchants open and close, replace phones, and start and end trips. `number` counts the days from 0."""
        if self.merchants.begin_day(number):
            self.cards.replace_favourites(self._streams.for_day(RandomStream.FAVOURITES, number), self.merchants)
        self.devices.replace_some(self._streams.for_day(RandomStream.PHONES, number))
        departures = self.cards.travel_ratio * today.departure_ratio
        self.travel.begin_day(self._streams.for_day(RandomStream.TRAVEL, number), number, departures)

    def usual_amounts(self, rng: np.random.Generator, card: Ints, merchant: Ints) -> Ints:
        """Draw an ordinary amount of each card at its merchant, in minor units."""
        category = self.merchants.category[merchant]
        usual = TYPICAL_MINOR[category] * self.cards.spending_level[card]
        usual *= np.exp(SPREADS[category] * rng.standard_normal(len(card)))
        amounts: Ints = np.maximum(np.rint(usual), MIN_AMOUNT_MINOR).astype(np.int64)
        return amounts

    def draw_in_city(self, rng: np.random.Generator, city: int, count: int) -> Ints:
        """Return `count` cards that are in a city now, by their transactions a day; none if there is no card."""
        present = np.flatnonzero(self.travel.city == city)
        if len(present) == 0:
            return present
        cumulative = np.cumsum(self.cards.daily_rate[present])
        drawn: Ints = present[np.searchsorted(cumulative, rng.random(count) * cumulative[-1])]
        return drawn
