"""Simulated card payments, day by day: cards, merchants, fraud, and labels that arrive days later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
from msgspec import Struct

from cardwatch.events import Label, Transaction, to_epoch_ms
from cardwatch.simulation.emitter import AuthorizationOutcomes, TransactionEmitter
from cardwatch.simulation.fraud_simulator import FraudSimulator
from cardwatch.simulation.labels import simulate_labels
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.regimes import AFTER_CHANGE, BEFORE_CHANGE
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.spending import Subscriptions, simulate_purchases
from cardwatch.simulation.transaction_array import FraudType, TransactionArray


class EventsOfDay(Struct, frozen=True, kw_only=True):
    """The events of one UTC day.

    `transactions` occurred on this day, in order of time. `labels` were observed on it, in order of `observed_at`; they
    concern transactions of this day or earlier ones. `fraud_types` holds the ground truth per transaction, in the same
    order. It serves tests and `cardwatch simulate` only and must not be sent to the system.
    """

    day: date
    transactions: list[Transaction]
    labels: list[Label]
    fraud_types: list[FraudType]


class Simulation:
    """A deterministic simulation: equal settings give equal events.

    Days must be requested in order, each once; `day(0)` is `settings.first_day`. Two simulations that differ only in
    `change_day` give the same events on all days before the change.

    >>> simulation = Simulation(SimulationSettings(seed=7, cards=50, merchants=200))
    >>> events = simulation.day(0)
    >>> events.day, len(events.fraud_types) == len(events.transactions)
    (datetime.date(2025, 1, 6), True)
    """

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self._streams = RandomStreams(settings.seed)
        self._population = Population(settings, self._streams)
        self._subscriptions = Subscriptions(self._population, self._streams.initial(RandomStream.SUBSCRIPTIONS))
        self._fraud = FraudSimulator(self._population, self._streams, settings.fraud_share)
        self._outcomes = AuthorizationOutcomes(settings.cards)
        self._emitter = TransactionEmitter(self._population)
        self._labels: defaultdict[date, list[Label]] = defaultdict(list)
        self._next_day = 0

    def day(self, number: int) -> EventsOfDay:
        """Return the events of day `number`; raises `ValueError` unless it is the next day, beginning with 0."""
        if number != self._next_day:
            raise ValueError(f"days are taken in order: day {self._next_day} is next, not {number}")
        self._next_day += 1
        day = self.settings.first_day + timedelta(days=number)
        simulated = self._transactions(number, day)
        previous = self._outcomes.previous(self._streams.for_day(RandomStream.OUTCOMES, number), simulated)
        transactions = self._emitter.transactions(number, simulated, previous)
        self._schedule_labels(number, transactions, simulated)
        return EventsOfDay(
            day=day,
            transactions=transactions,
            labels=sorted(self._labels.pop(day, []), key=lambda label: (label.observed_at, label.transaction_id)),
            fraud_types=[FraudType(value) for value in simulated["fraud_type"].tolist()],
        )

    def _transactions(self, number: int, day: date) -> TransactionArray:
        regime = AFTER_CHANGE if self.settings.has_changed(number) else BEFORE_CHANGE
        start_ms = to_epoch_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
        self._population.begin_day(number)
        rng = self._streams.for_day(RandomStream.SPENDING, number)
        purchases = simulate_purchases(self._population, rng, start_ms, day.weekday(), regime)
        rng = self._streams.for_day(RandomStream.SUBSCRIPTIONS, number)
        recurring = self._subscriptions.due(rng, number, start_ms)
        fraud = self._fraud.day(number, start_ms, regime, purchases)
        transactions = np.concatenate([purchases, recurring, fraud])
        return transactions[np.argsort(transactions["occurred_at_ms"], kind="stable")]

    def _schedule_labels(self, number: int, transactions: Sequence[Transaction], simulated: TransactionArray) -> None:
        is_fraud = simulated["fraud_type"] != FraudType.GENUINE
        rng = self._streams.for_day(RandomStream.LABELS, number)
        for label in simulate_labels(rng, transactions, is_fraud):
            self._labels[label.observed_at.date()].append(label)
