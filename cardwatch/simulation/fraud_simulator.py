"""The fraud of each day: which attacks are active, and how many incidents each has."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from cardwatch.simulation.attacks import Attack, initial_attacks
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.regimes import Regime
from cardwatch.simulation.relay_attack import RelayAttack
from cardwatch.simulation.spending import expected_daily_transactions
from cardwatch.simulation.transaction_array import DAY_MS, FraudType, TransactionArray, empty_transactions


class FraudSimulator:
    """Simulates all attacks. `fraud_share` is the share of fraud in all transactions before the change.

    Each attack has a constant number of incidents a day; only hours and cards are random. So the fraud rate has no
    random gaps.
    """

    def __init__(self, population: Population, streams: RandomStreams, fraud_share: float) -> None:
        self._population, self._streams = population, streams
        self._daily_transactions = expected_daily_transactions(population)
        self._fraud_share = fraud_share
        self._initial_attacks = initial_attacks()
        self._relay_attack = RelayAttack(population, streams.initial(RandomStream.RELAY_ATTACK))
        self._later = empty_transactions()
        self._incidents_due: defaultdict[FraudType, float] = defaultdict(float)

    def day(self, number: int, start_ms: int, regime: Regime, genuine: TransactionArray) -> TransactionArray:
        """Return the fraud of one day: of incidents that started earlier, and of those that start on this day."""
        fraud = [self._later]
        for attack in self._initial_attacks:
            per_day = self._daily_transactions * self._fraud_share * regime.initial_attack_ratio * attack.share
            fraud += self._incidents(attack, per_day, number, start_ms, genuine)
        if regime.relay_attack_share > 0:
            per_day = self._daily_transactions * regime.relay_attack_share
            fraud += self._incidents(self._relay_attack, per_day, number, start_ms, genuine)
        transactions = np.concatenate(fraud)
        is_later = transactions["occurred_at_ms"] >= start_ms + DAY_MS
        self._later = transactions[is_later]
        return transactions[~is_later]

    def _incidents(
        self, attack: Attack, transactions_per_day: float, number: int, start_ms: int, genuine: TransactionArray
    ) -> list[TransactionArray]:
        rng = self._streams.for_day(attack.stream, number)
        attack.begin_day(self._population, rng, number, genuine)
        self._incidents_due[attack.fraud_type] += transactions_per_day / attack.mean_size
        incidents = int(self._incidents_due[attack.fraud_type])
        self._incidents_due[attack.fraud_type] -= incidents
        starts_ms = start_ms + attack.start_times(rng, incidents)
        return [attack.incident(self._population, rng, at_ms) for at_ms in starts_ms.tolist()]
