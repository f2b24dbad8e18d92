"""A simulated world with the feature rows of the stream: the kernel, and the reference table of each day."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy, deepcopy
from datetime import date, timedelta

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.events import Label, Transaction
from cardwatch.features.columns import encode
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.kernel import FoldedRows, fold
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.simulation.emitter import RecordEmitter
from cardwatch.simulation.selection import DECLINE, Actions
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import TransactionArray


class FeaturesOfDay(Struct, frozen=True, kw_only=True):
    """n records of one day in the order of the log, with the truth, and the table that their features used."""

    number: int
    day: date
    transactions: list[Transaction]
    truth: TransactionArray
    rows: NDArray[np.void]
    folded: FoldedRows
    table: ReferenceTable


class SimulatedFeatures:
    """One world, day after day. `begin_day` gives its features, `end_day` its labels, for the next day's table.

    With `settings.reacting_fraudsters` they see what was declined.
    """

    def __init__(self, settings: SimulationSettings, maturity_days: int) -> None:
        self.settings = settings
        self.next_day = 0
        self._simulation = Simulation(settings)
        self._emitter = RecordEmitter(self._simulation.population)
        self._tables = ReferenceBuilder(maturity_days)
        self._table = ReferenceTable.empty()
        self._cards: dict[str, int] = {}
        self._states = empty_states(settings.cards)

    @property
    def cards(self) -> list[str]:
        """The cards in the order of their states."""
        return list(self._cards)

    @property
    def states(self) -> NDArray[np.void]:
        """The states of the cards, dtype STATE [cards]."""
        return self._states[: len(self._cards)]

    @property
    def table_id(self) -> str:
        """The id of the reference table of the next day."""
        return self._table.table_id

    def branch(self, settings: SimulationSettings) -> SimulatedFeatures:
        """Return an independent copy that goes on with other settings, see `Simulation.branch`."""
        twin = copy(self)
        twin.settings = settings
        twin._simulation = self._simulation.branch(settings)
        twin._emitter = RecordEmitter(twin._simulation.population)
        twin._tables, twin._states, twin._cards = deepcopy((self._tables, self._states, self._cards))
        return twin

    def begin_day(self) -> FeaturesOfDay:
        """Simulate the next day, and fold its records."""
        number = self.next_day
        self.next_day += 1
        truth = self._simulation.begin_day(number)
        transactions = self._emitter.transactions(number, truth)
        rows = encode(transactions)
        return FeaturesOfDay(
            number=number,
            day=self.settings.first_day + timedelta(days=number),
            transactions=transactions,
            truth=truth,
            rows=rows,
            folded=fold(self._states, self._card_index(transactions), rows, self._table),
            table=self._table,
        )

    def end_day(
        self,
        begun: FeaturesOfDay,
        actions: Actions | None = None,
        *,
        is_silent: bool = False,
    ) -> list[Label]:
        """Return the labels that arrive on this day, after these actions; None: everything is approved.

        If the source of labels `is_silent`, none arrives.
        """
        ended = self._simulation.end_day(actions)
        if self.settings.reacting_fraudsters and actions is not None:
            self._simulation.observe_declines(begun.number, actions == DECLINE)
        labels = [] if is_silent else self._emitter.labels(ended.labels)
        cards = identity_hashes([transaction.card_id for transaction in begun.transactions])
        self._tables.add_transactions(begun.rows, cards)
        for label in labels:
            self._tables.add_label(ReferenceLabel.of(label))
        self._table = self._tables.build(begun.day + timedelta(days=1))
        return labels

    def _card_index(self, transactions: Sequence[Transaction]) -> NDArray[np.int64]:
        cards = self._cards
        return np.fromiter(
            (cards.setdefault(transaction.card_id, len(cards)) for transaction in transactions),
            np.int64,
            len(transactions),
        )
