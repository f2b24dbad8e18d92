"""The question: what would be decided about these transactions, were they the next ones? It changes nothing.

    card state from the store, newest reference table -> kernel -> trees -> calibration -> cost policy -> reasons

Where there is no score to be had (no champion, no store, a stale table), the rules decide and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import StoreUnavailable
from cardwatch.events import Action, Transaction, utc_day
from cardwatch.features.columns import card_index, encode
from cardwatch.features.definitions import FEATURES
from cardwatch.features.kernel import FoldedRows, fold
from cardwatch.features.reference_choice import TableChoice, Tables, choose_table
from cardwatch.features.replay import fold_with_tables
from cardwatch.features.state import empty_states
from cardwatch.ports import StateArray
from services.scoring.api.card_states import States
from services.scoring.model.manager import LoadedModel

_ONE: Final = np.zeros(1, np.int64)


class Preview(Struct, frozen=True, kw_only=True):
    """What `/v1/score` says. `sequence`: how many of the card's transactions the state had seen, None without a store.

    Where the rules alone decide there is no margin and no probability, and `degraded` says so and why, as in a
    decision of record. `repeated`: the card's state holds this transaction already, so it has had its decision; this
    answer has none.
    """

    transaction_id: str
    sequence: int | None
    table_id: str
    model_version: str | None
    model_digest: str | None
    policy_version: str
    margin: float | None = None
    probability: float | None = None
    action: Action | None = None
    reasons: list[str] = []
    degraded: bool = False
    degraded_reason: str | None = None
    repeated: bool = False


class Asked(NamedTuple):
    """Transactions and what is known about them. All but `no_store` are parallel."""

    transactions: Sequence[Transaction]
    tables: Sequence[TableChoice]
    folded: FoldedRows
    no_store: str | None


class Alerts(NamedTuple):
    """Where among the answers a model's alerts are, and their feature rows, float32 [alerts, features]."""

    places: list[int]
    features: NDArray[np.float32]


_NO_ALERTS: Final = Alerts([], np.empty((0, len(FEATURES)), np.float32))


class _Verdict(NamedTuple):
    """`why_rules`: why the rules and not the model; margin and probability are the model's."""

    margin: float | None
    probability: float | None
    action: Action | None
    reasons: Sequence[str]
    why_rules: str | None = None


_NO_VERDICT: Final = _Verdict(None, None, None, ())


class PreviewScorer:
    """Asks store, kernel, model and policy, as the stream does for the decision of record."""

    def __init__(self, states: States, tables: Tables, policy: DecisionPolicy) -> None:
        self._states, self._tables, self._policy = states, tables, policy
        self._policy_version: Final = policy.version

    @property
    def may_wait(self) -> bool:
        """Whether an answer may have to wait for another machine."""
        return self._states.is_remote

    def features(self, transactions: Sequence[Transaction]) -> Asked:
        """Fold the transactions in their order over the stored states; the second of a card sees the first."""
        if len(transactions) == 1:
            cards, index = [transactions[0].card_id], _ONE
            tables = [choose_table(self._tables, utc_day(transactions[0].occurred_at))]
        else:
            cards, index = card_index([transaction.card_id for transaction in transactions])
            days = [utc_day(transaction.occurred_at) for transaction in transactions]
            choices = {day: choose_table(self._tables, day) for day in set(days)}
            tables = [choices[day] for day in days]
        states, no_store = self._load(cards)
        rows = encode(transactions)
        if len(tables) == 1:
            folded = fold(states, index, rows, tables[0].table)
        else:
            folded = fold_with_tables(states, index, rows, [choice.table for choice in tables])
        return Asked(transactions, tables, folded, no_store)

    def ask(
        self, transactions: Sequence[Transaction], champion: LoadedModel | None, no_champion: str
    ) -> tuple[list[Preview], Alerts]:
        """An answer to each, all by one model; `no_champion` says why there is none, if there is none.

        Reasons of a model's alerts are left to the caller: exact ones cost ten times as much as all the rest.
        """
        asked = self.features(transactions)
        every = no_champion if champion is None else asked.no_store
        whys = [every or choice.why_rules for choice in asked.tables]
        if champion is None or any(whys):
            return self._mixed(asked, champion, whys)
        return self._by_model(asked, range(len(transactions)), champion)

    def _mixed(
        self, asked: Asked, champion: LoadedModel | None, whys: Sequence[str | None]
    ) -> tuple[list[Preview], Alerts]:
        """Some by the model, some by the rules."""
        scored = [i for i, why in enumerate(whys) if why is None]
        answers: dict[int, Preview] = {}
        alerts = _NO_ALERTS
        if champion is not None and scored:
            by_model, alerts = self._by_model(asked, scored, champion)
            answers |= zip(scored, by_model, strict=True)
        ruled = [i for i in range(len(whys)) if i not in answers]
        actions, reasons = self._policy.decide_by_rules(asked.folded.features[ruled])
        for i, action, codes in zip(ruled, actions, reasons, strict=True):
            answers[i] = self._answer(asked, i, None, _Verdict(None, None, action, codes, whys[i]))
        return [answers[i] for i in range(len(whys))], alerts

    def _by_model(self, asked: Asked, places: Sequence[int], champion: LoadedModel) -> tuple[list[Preview], Alerts]:
        features = asked.folded.features
        rows = features if len(places) == len(features) else features[places]
        margins = champion.detector.margins(rows)
        probabilities = champion.detector.probabilities(margins)
        amounts = np.array([asked.transactions[i].amount_minor for i in places], np.float64)
        actions = self._policy.decide(probabilities, amounts)
        answers = [
            self._answer(asked, place, champion, _Verdict(margin, probability, action, []))
            for place, margin, probability, action in zip(
                places, margins.tolist(), probabilities.tolist(), actions, strict=True
            )
        ]
        alerts = [
            place
            for place, answer in zip(places, answers, strict=True)
            if answer.action is not Action.APPROVE and not answer.repeated
        ]
        return answers, Alerts(alerts, features[alerts]) if alerts else _NO_ALERTS

    def _answer(self, asked: Asked, place: int, by: LoadedModel | None, verdict: _Verdict) -> Preview:
        repeated = bool(asked.folded.duplicates[place])
        margin, probability, action, reasons, why_rules = _NO_VERDICT if repeated else verdict
        return Preview(
            transaction_id=asked.transactions[place].transaction_id,
            sequence=None if asked.no_store else int(asked.folded.sequences[place]),
            table_id=asked.tables[place].table.table_id,
            model_version=by.version.version if by else None,
            model_digest=by.version.digest if by else None,
            policy_version=self._policy_version,
            margin=margin,
            probability=probability,
            action=action,
            reasons=list(reasons),
            degraded=why_rules is not None,
            degraded_reason=why_rules,
            repeated=repeated,
        )

    def _load(self, cards: Sequence[str]) -> tuple[StateArray, str | None]:
        try:
            return self._states.load(cards), None
        except StoreUnavailable as error:
            return empty_states(len(cards)), str(error)
