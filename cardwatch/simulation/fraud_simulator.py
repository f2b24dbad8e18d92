"""Who strikes when: the schemes at work and what they still have in hand."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from cardwatch.simulation.attacks import Scheme, old_schemes
from cardwatch.simulation.drafts import DAY_MS, DRAFT, Drafts, Kind
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.regimes import Regime
from cardwatch.simulation.relay_attack import RelayAttack
from cardwatch.simulation.spending import daily_mean


class FraudSimulator:
    """All fraudsters. `fraud_share`: the part of all transactions that old schemes make up in ordinary times.

    Each scheme strikes at a steady pace, only the hours and victims are random: fraud does not dry up for a
    week by chance.
    """

    def __init__(self, population: Population, streams: RandomStreams, fraud_share: float) -> None:
        self._population, self._streams = population, streams
        self._daily = daily_mean(population)
        self._fraud_share = fraud_share
        self._old = old_schemes()
        self._ring = RelayAttack(population, streams.once(RandomStream.RELAY_RING))
        self._in_hand = np.empty(0, DRAFT)
        self._due: defaultdict[Kind, float] = defaultdict(float)

    def attack(self, day: int, start_ms: int, times: Regime, genuine: Drafts) -> Drafts:
        """The fraud of one day: today's part of strikes that began earlier, and of those that begin today."""
        strikes = [self._in_hand]
        for scheme in self._old:
            per_day = self._daily * self._fraud_share * times.old_fraud_ratio * scheme.share
            strikes += self._strikes(scheme, per_day, day, start_ms, genuine)
        if times.ring_share > 0:
            strikes += self._strikes(self._ring, self._daily * times.ring_share, day, start_ms, genuine)
        drafts = np.concatenate(strikes)
        later = drafts["occurred_ms"] >= start_ms + DAY_MS
        self._in_hand = drafts[later]
        return drafts[~later]

    def _strikes(
        self, scheme: Scheme, transactions_per_day: float, day: int, start_ms: int, genuine: Drafts
    ) -> list[Drafts]:
        rng = self._streams.on(scheme.concern, day)
        scheme.begin_day(self._population, rng, day, genuine)
        self._due[scheme.kind] += transactions_per_day / scheme.mean_size
        strikes = int(self._due[scheme.kind])
        self._due[scheme.kind] -= strikes
        begins_ms = start_ms + scheme.begins(rng, strikes)
        return [scheme.strike(self._population, rng, at_ms) for at_ms in begins_ms.tolist()]
