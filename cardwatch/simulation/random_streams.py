"""Random numbers, one stream for each concern and day, so that no concern disturbs another."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

_SEEDED_ONCE: Final = 0


class RandomStream(IntEnum):
    """What randomness is needed for. The numbers are part of what a seed means: append only."""

    MERCHANTS = 0
    CARDS = 1
    OWNERS = 2
    TRIPS = 3
    SPENDING = 4
    SUBSCRIPTIONS = 5
    OUTCOMES = 6
    LABELS = 7
    CARD_TESTING = 8
    STOLEN_CARD = 9
    COUNTERFEIT = 10
    TAKEOVER = 11
    BREACH = 12
    RELAY_RING = 13


class RandomStreams:
    """All randomness of one world, as children of `seed` in numpy's `SeedSequence`.

    A stream depends on its seed, concern and day only: whatever one concern draws on one day leaves every
    other stream as it was. That is what lets a world with a change be the same as one without until the
    change comes.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def once(self, concern: RandomStream) -> np.random.Generator:
        """The stream for what is settled before the first day."""
        return self._child(concern, _SEEDED_ONCE)

    def on(self, concern: RandomStream, day: int) -> np.random.Generator:
        """The stream of `concern` on one day."""
        return self._child(concern, day + 1)

    def _child(self, concern: RandomStream, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(int(concern), number)))
