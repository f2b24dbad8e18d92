"""The question: what would be decided about this transaction, were it the next one? It reads, and changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec import Struct

from adapters.table_store import TableStore
from cardwatch.errors import InvalidRecord
from cardwatch.events import Action, Transaction, utc_day
from cardwatch.features.columns import encode
from cardwatch.features.kernel import fold
from cardwatch.features.state import empty_states
from cardwatch.features.table_choice import choose_table
from cardwatch.policy import DecisionPolicy
from cardwatch.ports import FeatureStore, StateArray
from services.scoring.model_holder import Served


class Answer(Struct, frozen=True, kw_only=True):
    """What `/v1/score` says. `sequence`: how many of the card's transactions the state had seen.

    Where the rules alone decide, because the reference table is not to be relied on, there is no margin and no
    probability, and `degraded` says so, as in a decision of record.
    """

    transaction_id: str
    sequence: int
    table_id: str
    model_version: str
    model_digest: str
    policy_version: str
    margin: float | None = None
    probability: float | None = None
    action: Action
    reasons: list[str]
    degraded: bool = False
    degraded_reason: str | None = None


class Question:
    """Asks state, kernel, model and policy, as the stream does for the decision of record.

    `open_store` gives the feature store for reading, or None while there is none: then no card has a history.
    """

    def __init__(self, open_store: Callable[[], FeatureStore | None], tables: Path, policy: DecisionPolicy) -> None:
        self._open_store = open_store
        self._opening = threading.Lock()
        self._store: FeatureStore | None = None
        self._tables = TableStore(tables)
        self._policy = policy

    def ask(self, transaction: Transaction, served: Served) -> Answer:
        """Answer for one transaction; raises `InvalidRecord` if its card has just had one with the same id."""
        table, why_rules = choose_table(self._tables, utc_day(transaction.occurred_at))
        folded = fold(self._states(transaction.card_id), np.zeros(1, np.int64), encode([transaction]), table)
        if folded.duplicates[0]:
            raise InvalidRecord("this transaction has been folded already", field="$.transaction_id")
        margin, probability = None, None
        if why_rules is None:
            margins = served.detector.margins(folded.features)
            probabilities = served.detector.probabilities(margins)
            margin, probability = float(margins[0]), float(probabilities[0])
            [action] = self._policy.decide(probabilities, np.array([transaction.amount_minor], np.float64))
            [reasons] = served.detector.reasons(folded.features) if action is not Action.APPROVE else [[]]
        else:
            [action], [reasons] = self._policy.decide_by_rules(folded.features)
        return Answer(
            transaction_id=transaction.transaction_id,
            sequence=int(folded.sequences[0]),
            table_id=table.table_id,
            model_version=served.version.version,
            model_digest=served.version.digest,
            policy_version=self._policy.version,
            margin=margin,
            probability=probability,
            action=action,
            reasons=reasons,
            degraded=why_rules is not None,
            degraded_reason=why_rules,
        )

    def _states(self, card_id: str) -> StateArray:
        with self._opening:  # LMDB may be opened once a process
            if self._store is None:
                self._store = self._open_store()
        if self._store is None:
            return empty_states(1)  # no stream has run yet: no card has a history
        return self._store.load([card_id])
