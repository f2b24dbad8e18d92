"""All fraud of a simulation."""

from __future__ import annotations

from itertools import count

from cardwatch.simulation.fraud.attack import Attack
from cardwatch.simulation.fraud.in_person import CounterfeitCard, LostStolenCard, Skimming
from cardwatch.simulation.fraud.insiders import BustOut, FriendlyFraud, MerchantCollusion
from cardwatch.simulation.fraud.online import AccountTakeover, CardTesting, Enumeration, StolenCardData
from cardwatch.simulation.fraud.reactions import FraudGroups
from cardwatch.simulation.fraud.relay_attack import RelayAttack
from cardwatch.simulation.opening_hours import wait_for_opening_hours
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.spending import expected_daily_transactions
from cardwatch.simulation.timeline import Regime
from cardwatch.simulation.transaction_array import DAY_MS, TransactionArray, empty_transactions, joined


def initial_attacks() -> list[Attack]:
    """Return one attack of each typology that exists from the first day. Their shares add up to 1."""
    return [
        CardTesting(),
        Enumeration(),
        StolenCardData(),
        AccountTakeover(),
        LostStolenCard(),
        Skimming(),
        CounterfeitCard(),
        MerchantCollusion(),
        BustOut(),
        FriendlyFraud(),
    ]


class FraudSimulator:
    """Simulates all attacks. `fraud_share` is the share of fraud in all transactions before a change.

    With `groups`, these groups of fraudsters react to declined transactions.

    Each typology has a constant number of incidents a day as long as one of its campaigns is ready, so that the fraud
    rate has few random gaps.
    """

    def __init__(
        self, population: Population, streams: RandomStreams, fraud_share: float, groups: FraudGroups | None = None
    ) -> None:
        self._population, self._streams = population, streams
        self._daily_transactions = expected_daily_transactions(population)
        self._fraud_share = fraud_share
        self._attacks = [*initial_attacks(), RelayAttack()]
        if groups is not None:
            for attack in self._attacks:
                attack.let_react(groups)
        self._campaigns = count(1)
        self._later = empty_transactions()

    def day(self, number: int, start_ms: int, regime: Regime, genuine: TransactionArray) -> TransactionArray:
        """Return the fraud of one day: of incidents that started earlier, and of those that start on this day."""
        initial = self._fraud_share * regime.prevalence_ratio
        fraud = [self._later]
        for attack in self._attacks:
            rng = self._streams.for_day(attack.stream, number)
            per_day = self._daily_transactions * (initial * attack.share + regime.new_shares.get(attack.typology, 0.0))
            fraud.append(
                attack.day(self._population, rng, number, start_ms, per_day, genuine, lambda: next(self._campaigns))
            )
        transactions = wait_for_opening_hours(
            self._population.merchants, self._streams.for_day(RandomStream.OPENING_HOURS, number), joined(fraud)
        )
        is_later = transactions["occurred_at_ms"] >= start_ms + DAY_MS
        self._later = transactions[is_later]
        return transactions[~is_later]
