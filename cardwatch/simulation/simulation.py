"""Simulated card payments, day by day: cards, merchants, fraud, and labels that arrive days later."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.events import Label, Transaction, to_epoch_ms
from cardwatch.simulation.calendar_day import CalendarDay, calendar_day
from cardwatch.simulation.emitter import RecordEmitter
from cardwatch.simulation.faults import DataFault, apply_faults
from cardwatch.simulation.fraud.reactions import FraudGroups
from cardwatch.simulation.fraud.simulator import FraudSimulator
from cardwatch.simulation.label_array import LabelArray
from cardwatch.simulation.labels import PendingLabels, simulate_labels
from cardwatch.simulation.outcomes import AuthorizationOutcomes
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream, RandomStreams
from cardwatch.simulation.records_of_day import complete
from cardwatch.simulation.selection import Actions, select_labels
from cardwatch.simulation.settings import SimulationSettings, WorldEvent
from cardwatch.simulation.spending import simulate_purchases
from cardwatch.simulation.subscriptions import Subscriptions
from cardwatch.simulation.timeline import regime_of
from cardwatch.simulation.transaction_array import DAY_MS, TransactionArray, Typology, joined


class SimulatedDay(NamedTuple):
    """One UTC day as arrays.

    `transactions` are records of this day with the truth, in order of time unless a fault says otherwise. `reports` are
    all labels of these transactions, whenever they will be observed. `labels` are those that were observed on this day,
    in order of time, about transactions of this day or earlier ones. `actions` are the decisions on `transactions`,
    None if everything was approved.
    """

    number: int
    day: date
    transactions: TransactionArray
    reports: LabelArray
    labels: LabelArray
    actions: Actions | None


class _BegunDay(NamedTuple):
    """A day whose records are known, and whose labels are not: its transactions, and the records of them."""

    number: int
    day: date
    end_ms: int
    transactions: TransactionArray
    records: TransactionArray


class Truth(NamedTuple):
    """What a transaction really was: the number of its campaign and the day of that, both 0 if none."""

    typology: Typology
    campaign: int
    campaign_day: int


class EventsOfDay(Struct, frozen=True, kw_only=True):
    """The events of one UTC day as records, see `SimulatedDay`.

    `truth` is that of each transaction, in the same order. It serves tests and evaluations only and must not be sent to
    the system.
    """

    day: date
    transactions: list[Transaction]
    labels: list[Label]
    truth: list[Truth]


class Simulation:
    """A deterministic simulation: equal settings give equal events.

    Days must be requested in order, each once; day 0 is `settings.first_day`. Two simulations that differ only in
    what happens from a day on give the same events on all days before it.

    >>> simulation = Simulation(SimulationSettings(seed=7, cards=50, merchants=200))
    >>> events = simulation.day(0)
    >>> events.day, len(events.truth) == len(events.transactions)
    (datetime.date(2025, 1, 6), True)
    """

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self._set_events(settings)
        self._streams = RandomStreams(settings.seed)
        self.population = Population(settings, self._streams)
        self._subscriptions = Subscriptions(self.population, self._streams.initial(RandomStream.SUBSCRIPTIONS))
        self._groups = FraudGroups() if settings.reacting_fraudsters else None
        self._fraud = FraudSimulator(self.population, self._streams, settings.fraud_share, self._groups)
        self._outcomes = AuthorizationOutcomes(settings.cards)
        self._emitter = RecordEmitter(self.population)
        self._labels = PendingLabels()
        self._next_day = 0
        self._begun: _BegunDay | None = None
        self._unobserved: TransactionArray | None = None

    def branch(self, settings: SimulationSettings) -> Simulation:
        """Return an independent copy in which the days from the next one on follow `settings`.

        They may differ from those of this simulation in `timeline`, `change_day` and `labels`. Raises `ValueError` if
        they differ in anything else, also in what began before the next day, or if a day has not ended.
        """
        same = structs.replace(
            settings, timeline=self.settings.timeline, change_day=self.settings.change_day, labels=self.settings.labels
        )
        if same != self.settings:
            raise ValueError("a branch may only differ in timeline, change_day and labels")
        if self._begun is not None:
            raise ValueError(f"day {self._begun.number} has not ended")
        here, there = (
            [_so_far(event, self._next_day) for event in each.events() if event.from_day < self._next_day]
            for each in (self.settings, settings)
        )
        if here != there:
            raise ValueError(f"a branch cannot change what began before day {self._next_day}")
        twin = deepcopy(self)
        twin.settings = settings
        twin._set_events(settings)
        return twin

    def simulate_day(self, number: int) -> SimulatedDay:
        """Return day `number`, on which everything is approved, as arrays.

        Raises `ValueError` unless it is the next day, beginning with 0.
        """
        self.begin_day(number)
        return self.end_day()

    def begin_day(self, number: int) -> TransactionArray:
        """Return the records of day `number`; `end_day` gives its labels, once the records are decided.

        Raises `ValueError` unless it is the next day, beginning with 0, and the day before has ended.
        """
        if number != self._next_day or self._begun is not None:
            next_day = self._next_day - (self._begun is not None)
            raise ValueError(f"days are taken in order: day {next_day} is next, not {number}")
        self._next_day += 1
        day = self.settings.first_day + timedelta(days=number)
        start_ms = to_epoch_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
        transactions = self._transactions(number, calendar_day(day), start_ms)
        self._complete(number, transactions)
        records = apply_faults(self._streams.for_day(RandomStream.FAULTS, number), self._faults, number, transactions)
        self._begun = _BegunDay(number, day, start_ms + DAY_MS, transactions, records)
        return records

    def end_day(self, actions: Actions | None = None) -> SimulatedDay:
        """Return the day that has begun, with its labels after these decisions.

        `actions`: int8 [n], the action on each record of `begin_day` by its position in `Action`; None: everything is
        approved. Of a repeated record the first one counts. Without `LabelSettings.selection` labels do not depend on
        actions. Raises `ValueError` if no day has begun, or for another n.
        """
        if (begun := self._begun) is None:
            raise ValueError("no day has begun")
        if actions is not None and actions.shape != begun.records.shape:
            raise ValueError(f"day {begun.number} has {len(begun.records)} records, not {list(actions.shape)}")
        self._begun = None
        number, records = begun.number, begun.records
        rng = self._streams.for_day(RandomStream.LABELS, number)
        more = self._streams.for_day(RandomStream.LABEL_SETTINGS, number)
        reports = simulate_labels(rng, more, number, begun.transactions, self.settings.labels)
        selection = self.settings.labels.selection
        if selection is not None and actions is not None:
            of_transaction = np.zeros(len(begun.transactions), np.int8)
            of_transaction[records["number"][::-1]] = actions[::-1]  # the last assignment stands: the first record
            rng = self._streams.for_day(RandomStream.SELECTION, number)
            reports = select_labels(rng, number, begun.transactions, of_transaction, reports, selection)
        sent_numbers = np.zeros_like(begun.transactions["merchant_number"])
        sent_numbers[records["number"]] = records["merchant_number"]
        reports["merchant_number"] = sent_numbers[reports["number"]]  # a report names the merchant as the record does
        self._labels.add(reports)
        self._unobserved = records
        return SimulatedDay(number, begun.day, records, reports, self._labels.take_before(begun.end_ms), actions)

    def observe_declines(self, number: int, is_declined: NDArray[np.bool_]) -> None:
        """Let the fraudsters see which transactions of the newest day, day `number`, were declined.

        `is_declined`: bool [n], in the order of the day's `transactions`. From the next day on the groups that were
        declined try other tactics. Equal settings and equal declines give equal events. Without `reacting_fraudsters`
        nothing changes. Raises `ValueError` for another day than the newest, for a second time, or another n.
        """
        records = self._unobserved
        if records is None or number != self._next_day - 1:
            raise ValueError(f"declines of day {number}: only those of the newest day are observed, and only once")
        if is_declined.shape != records.shape or is_declined.dtype != np.bool_:
            raise ValueError(
                f"declines of day {number}: it has {len(records)} transactions, "
                f"not {is_declined.dtype} {list(is_declined.shape)}"
            )
        self._unobserved = None
        if self._groups is not None:
            made, first, of_record = np.unique(records["number"], return_index=True, return_inverse=True)
            declined_numbers = np.bincount(of_record[is_declined], minlength=len(made)) > 0  # of any copy of a record
            is_fraud = records["typology"][first] != Typology.GENUINE
            self._groups.learn(records[first][is_fraud], declined_numbers[is_fraud])

    def day(self, number: int) -> EventsOfDay:
        """Return day `number`, on which everything is approved, as records.

        Raises `ValueError` unless it is the next day, beginning with 0.
        """
        transactions = self.begin_records(number)
        return self.end_records(transactions)

    def begin_records(self, number: int) -> list[Transaction]:
        """Return the transactions of day `number` as records, see `begin_day`."""
        return self._emitter.transactions(number, self.begin_day(number))

    def records_with(self, faults: Sequence[DataFault]) -> list[Transaction]:
        """Return the records of the day that has begun as a source with these further faults sends them.

        The day stays as it is: `end_day` gives the truth and the labels of what happened. Raises `ValueError` if no day
        has begun.
        """
        if (begun := self._begun) is None:
            raise ValueError("no day has begun")
        rng = self._streams.for_day(RandomStream.LIVE_FAULTS, begun.number)
        return self._emitter.transactions(begun.number, apply_faults(rng, faults, begun.number, begun.records))

    def end_records(self, transactions: list[Transaction], actions: Actions | None = None) -> EventsOfDay:
        """Return the day that `begin_records` began with these transactions, see `end_day`."""
        simulated = self.end_day(actions)
        truth = (simulated.transactions[field].tolist() for field in ("typology", "campaign", "campaign_day"))
        return EventsOfDay(
            day=simulated.day,
            transactions=transactions,
            labels=self._emitter.labels(simulated.labels),
            truth=[Truth(Typology(typology), campaign, day) for typology, campaign, day in zip(*truth, strict=True)],
        )

    def _set_events(self, settings: SimulationSettings) -> None:
        events = settings.events()
        self._events = [event for event in events if not isinstance(event, DataFault)]
        self._faults = [event for event in events if isinstance(event, DataFault)]

    def _complete(self, number: int, transactions: TransactionArray) -> None:
        """Fill the columns that need the whole day."""
        complete(self.population.merchants, transactions)
        rng = self._streams.for_day(RandomStream.OUTCOMES, number)
        transactions["previous_outcome"] = self._outcomes.previous(rng, transactions)

    def _transactions(self, number: int, today: CalendarDay, start_ms: int) -> TransactionArray:
        regime = regime_of(self._events, number)
        self.population.begin_day(number, today)
        rng = self._streams.for_day(RandomStream.SPENDING, number)
        purchases = simulate_purchases(self.population, rng, start_ms, today, regime)
        rng = self._streams.for_day(RandomStream.SUBSCRIPTIONS, number)
        recurring = self._subscriptions.due(rng, today, start_ms)
        fraud = self._fraud.day(number, start_ms, regime, purchases)
        transactions = joined([purchases, recurring, fraud])
        return transactions.take(np.argsort(transactions["occurred_at_ms"], kind="stable"))


def _so_far(event: WorldEvent, next_day: int) -> WorldEvent:
    """Return the event without an end at `next_day` or later: the days before do not depend on it."""
    has_future_end = event.until_day is not None and event.until_day >= next_day and event.every_days is None
    return structs.replace(event, until_day=None) if has_future_end else event
