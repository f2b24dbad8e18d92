"""The kind of fraud that comes with the change: relayed contactless payments at mule merchants."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.simulation.attacks import Scheme
from cardwatch.simulation.categories import CODES, Trade
from cardwatch.simulation.drafts import CONTACTLESS, HOUR_MS, MINUTE_MS, NO_DEVICE, Drafts, Ints, Kind, draft, no_drafts
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream

_FRONTS: Final = ("5499", "5814")
_MERCHANT_LASTS_DAYS: Final = 2
_CARDS_PER_FRONT: Final = 200


class RelayAttack(Scheme):
    """A card's contactless signal is relayed to a terminal of a small shop that a ring has taken over.

    Nothing about it resembles the old kinds: an ordinary shop in the holder's own city, the holder's own
    phone or card, no foreign country, amounts below the contactless limit. What gives it away is the whole of
    it: a merchant that is new to everyone (the ring gives up its merchant accounts after two days, before
    labels come in), in few categories, whole euros between 35 and 49, several taps within an hour. The
    shops are ordinary ones before and keep their own guests.
    """

    kind, concern, share, mean_size = Kind.RELAY_RING, RandomStream.RELAY_RING, 1.0, 4.5

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        self._premises = _fronts(population, rng)

    def begin_day(self, population: Population, rng: np.random.Generator, day: int, genuine: Drafts) -> None:
        """Half of the fronts get a new merchant account."""
        population.merchants.hand_over(self._premises[day % _MERCHANT_LASTS_DAYS :: _MERCHANT_LASTS_DAYS])

    def begins(self, rng: np.random.Generator, strikes: int) -> Ints:
        """In shopping hours, like everyone."""
        return rng.integers(8 * HOUR_MS, 20 * HOUR_MS, strikes)

    def strike(self, population: Population, rng: np.random.Generator, at_ms: int) -> Drafts:
        """Three to six taps at one front, with a card that is in its city."""
        front = int(rng.choice(self._premises))
        here = np.flatnonzero(population.journeys.city == population.merchants.city[front])
        if len(here) == 0:
            return no_drafts()
        rates = population.cards.rate[here]
        card = int(here[np.searchsorted(np.cumsum(rates), rng.random() * rates.sum())])
        taps = int(rng.integers(3, 7))
        customer = population.cards.customer[card : card + 1]
        return draft(
            occurred_ms=at_ms + np.cumsum(rng.integers(2 * MINUTE_MS, 12 * MINUTE_MS, taps)),
            amount_minor=rng.integers(35, 50, taps) * 100,
            card=card,
            merchant=np.full(taps, front),
            device=int(population.devices.phones(customer)[0]) if population.cards.wallet[card] else NO_DEVICE,
            channel=CONTACTLESS,
            kind=self.kind,
        )


def _fronts(population: Population, rng: np.random.Generator) -> Ints:
    """Unremarkable shops of few categories, in cities where many cards live."""
    merchants = population.merchants
    residents = np.bincount(population.cards.home, minlength=int(merchants.city.max()) + 1)
    fitting = np.isin(merchants.category, [CODES.index(code) for code in _FRONTS]) & (merchants.trade == Trade.SHOP)
    fitting &= residents[merchants.city] > population.cards.count / 50
    count = max(4, population.cards.count // _CARDS_PER_FRONT)
    quiet = np.flatnonzero(fitting)
    quiet = quiet[np.argsort(merchants.popularity[quiet], kind="stable")][: 3 * count]
    return np.sort(rng.choice(quiet, size=min(count, len(quiet)), replace=False))
