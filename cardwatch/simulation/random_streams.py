"""Independent random number streams, one per purpose and day."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

_INITIAL: Final = 0


class RandomStream(IntEnum):
    """The purpose of a random stream. The numbers enter the seed, so only append."""

    MERCHANTS = 0
    CARDS = 1
    REPLACEMENTS = 2
    TRAVEL = 3
    SPENDING = 4
    SUBSCRIPTIONS = 5
    OUTCOMES = 6
    LABELS = 7
    CARD_TESTING = 8
    STOLEN_CARD_DATA = 9
    COUNTERFEIT_CARD = 10
    ACCOUNT_TAKEOVER = 11
    RELAY_ATTACK = 13
    ENUMERATION = 14
    LOST_STOLEN_CARD = 15
    SKIMMING = 16
    MERCHANT_COLLUSION = 17
    BUST_OUT = 18
    FRIENDLY_FRAUD = 19
    CARD_RANGES = 20
    FAULTS = 21
    LABEL_SETTINGS = 22
    SEGMENTS = 23
    MERCHANT_TURNOVER = 24
    FAVOURITES = 25
    PHONES = 26
    OPENING_HOURS = 27
    SELECTION = 28
    LIVE_FAULTS = 29


class RandomStreams:
    """All random numbers of one simulation, as children of `seed` in numpy's `SeedSequence`.

    A stream depends on seed, purpose and day only: draws from one stream change no other. So a simulation with a change
    equals one without until the day of the change.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def initial(self, stream: RandomStream) -> np.random.Generator:
        """Return the generator for what is drawn before the first day."""
        return self._child(stream, _INITIAL)

    def for_day(self, stream: RandomStream, day: int) -> np.random.Generator:
        """Return the generator of `stream` for day number `day`."""
        return self._child(stream, day + 1)

    def _child(self, stream: RandomStream, number: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(int(stream), number)))
