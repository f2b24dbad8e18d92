"""Everyone and everything that has a place in the world, as of today."""

from __future__ import annotations

import numpy as np

from cardwatch.simulation.cards import Cards, Devices, Journeys
from cardwatch.simulation.categories import SPREADS, TYPICAL_MINOR
from cardwatch.simulation.drafts import Ints
from cardwatch.simulation.merchants import Merchants
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.settings import SimulationSettings


class Population:
    """Cards, merchants, devices and journeys. `begin_day` moves all of them on by one day."""

    def __init__(self, settings: SimulationSettings, streams: RandomStreams) -> None:
        self._streams = streams
        self.merchants = Merchants(streams.once(RandomStream.MERCHANTS), settings.merchants)
        self.cards = Cards(streams.once(RandomStream.CARDS), settings.cards, self.merchants)
        self.devices = Devices(int(self.cards.customer[-1]) + 1)
        self.journeys = Journeys(self.cards.home)

    def begin_day(self, day: int) -> None:
        """New owners, new phones, departures and returns."""
        owners = self._streams.on(RandomStream.OWNERS, day)
        self.merchants.change_owners(owners)
        self.devices.replace_some(owners)
        self.journeys.begin_day(self._streams.on(RandomStream.TRIPS, day), day)

    def usual_amounts(self, rng: np.random.Generator, card: Ints, merchant: Ints) -> Ints:
        """What these cards might pay at these merchants on an ordinary day, in minor units."""
        category = self.merchants.category[merchant]
        amounts = TYPICAL_MINOR[category] * self.cards.level[card]
        amounts *= np.exp(SPREADS[category] * rng.standard_normal(len(card)))
        return np.maximum(np.rint(amounts), 50).astype(np.int64)
