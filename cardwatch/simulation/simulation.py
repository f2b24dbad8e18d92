"""The simulated world: cards that pay, merchants, fraudsters, and labels that arrive days later, day by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
from msgspec import Struct

from cardwatch.events import Label, Transaction, to_epoch_ms
from cardwatch.simulation.drafts import Drafts, Kind
from cardwatch.simulation.emitter import AuthorizationOutcomes, TransactionEmitter
from cardwatch.simulation.fraud_simulator import FraudSimulator
from cardwatch.simulation.labels import labels_of
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.regimes import CHANGED, ORDINARY
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.spending import Subscriptions, shopping


class EventsOfDay(Struct, frozen=True, kw_only=True):
    """What happens in the world on one UTC day.

    `transactions` occurred on it, in order of time; `labels` were observed on it, in order of `observed_at`,
    and speak of this day or earlier ones. `kinds` is the truth about each transaction, in the order of
    `transactions`: for whoever judges the simulation, never to be sent anywhere.
    """

    day: date
    transactions: list[Transaction]
    labels: list[Label]
    kinds: list[Kind]


class Simulation:
    """A world that is wholly determined by its settings.

    Its days are taken in order, each once: `day(0)` is `settings.first_day`, and what happens later follows
    from what happened before. Two worlds that differ only in `change_day` are the same on all days before the
    change.
    """

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self._streams = RandomStreams(settings.seed)
        self._population = Population(settings, self._streams)
        self._subscriptions = Subscriptions(self._population, self._streams.once(RandomStream.SUBSCRIPTIONS))
        self._underworld = FraudSimulator(self._population, self._streams, settings.fraud_share)
        self._outcomes = AuthorizationOutcomes(settings.cards)
        self._teller = TransactionEmitter(self._population)
        self._labels: defaultdict[date, list[Label]] = defaultdict(list)
        self._next_day = 0

    def day(self, number: int) -> EventsOfDay:
        """The events of day `number`. Raises `ValueError` if it is not the day after the last one taken (or day 0)."""
        if number != self._next_day:
            raise ValueError(f"days are taken in order: day {self._next_day} is next, not {number}")
        self._next_day += 1
        today = self.settings.first_day + timedelta(days=number)
        drafts = self._drafts(number, today)
        previous = self._outcomes.previous(self._streams.on(RandomStream.OUTCOMES, number), drafts)
        transactions = self._teller.transactions(number, drafts, previous)
        self._learn(number, transactions, drafts)
        return EventsOfDay(
            day=today,
            transactions=transactions,
            labels=sorted(self._labels.pop(today, []), key=lambda label: (label.observed_at, label.transaction_id)),
            kinds=[Kind(kind) for kind in drafts["kind"].tolist()],
        )

    def _drafts(self, number: int, today: date) -> Drafts:
        times = CHANGED if self.settings.has_changed(number) else ORDINARY
        start_ms = to_epoch_ms(datetime(today.year, today.month, today.day, tzinfo=UTC))
        population = self._population
        population.begin_day(number)
        rng = self._streams.on(RandomStream.SPENDING, number)
        bought = shopping(population, rng, start_ms, today.weekday(), times)
        collected = self._subscriptions.due(self._streams.on(RandomStream.SUBSCRIPTIONS, number), number, start_ms)
        stolen = self._underworld.attack(number, start_ms, times, bought)
        drafts = np.concatenate([bought, collected, stolen])
        return drafts[np.argsort(drafts["occurred_ms"], kind="stable")]

    def _learn(self, number: int, transactions: Sequence[Transaction], drafts: Drafts) -> None:
        is_fraud = drafts["kind"] != Kind.GENUINE
        for label in labels_of(self._streams.on(RandomStream.LABELS, number), transactions, is_fraud):
            self._labels[label.observed_at.date()].append(label)
