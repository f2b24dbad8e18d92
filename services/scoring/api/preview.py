"""Previews: what would be decided about transactions if they came next. A preview changes nothing.

    card states from the store, newest reference tables -> kernel -> trees, calibration -> cost policy -> previews

Without a champion, without the feature store or with a stale table the rules decide, and the preview says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.decide import (
    DegradationCause,
    DegradedReason,
    Outcome,
    ScorableRows,
    ScoreRows,
    decide,
    require_control,
)
from cardwatch.decision.folding import FoldedTransactions, cards_of, fold_transactions
from cardwatch.decision.one_transaction import OneTransaction
from cardwatch.decision.records import Preview, previews
from cardwatch.errors import StoreUnavailable
from cardwatch.events import Action, Transaction, utc_day
from cardwatch.features.definitions import FEATURES
from cardwatch.features.reference_choice import Tables, choose_table
from cardwatch.features.state import empty_states
from cardwatch.ports import Scores
from services.scoring.api.card_states import CardStateReader
from services.scoring.model.manager import LoadedModel, ServedModels
from services.scoring.model.scores import scores_of


class UnexplainedAlerts(NamedTuple):
    """The model's alerts among the previews, whose reasons are not computed yet.

    `indices`: their positions; `features`: their rows, float32 [alerts, features].
    """

    indices: list[int]
    features: NDArray[np.float32]


_NO_ALERTS: Final = UnexplainedAlerts([], np.empty((0, len(FEATURES)), np.float32))


class PreviewScorer:
    """Makes previews from stored card states, by the same path as the stream worker's decisions of record.

    `control` chooses the transactions of the policy's control share; the constructor raises `ValueError` without it.
    `is_remote`: whether card states are read over a network, so that a preview does not belong on the serving thread.
    """

    def __init__(
        self, states: CardStateReader, tables: Tables, policy: DecisionPolicy, control: ControlSample | None = None
    ) -> None:
        require_control(policy, control)
        self._states, self._tables, self._policy, self._control = states, tables, policy, control
        self._costs_decide_alone: Final = not policy.rules and not policy.control.share
        self._policy_version: Final = policy.version
        self._one: Final = OneTransaction(policy)
        self.is_remote: Final = states.is_remote

    def fold(self, transactions: Sequence[Transaction]) -> tuple[FoldedTransactions, DegradedReason | None]:
        """Fold the transactions in their order over the stored states; the second of a card sees the first.

        If the store does not answer, they are folded over empty states, and the reason is returned.
        """
        cards, card_index = cards_of(transactions)
        no_store = None
        try:
            states = self._states.load(cards)
        except StoreUnavailable as error:
            states, no_store = empty_states(len(cards)), DegradedReason(DegradationCause.STORE, str(error))
        return fold_transactions(self._tables, states, card_index, transactions), no_store

    def decide(
        self,
        folded: FoldedTransactions,
        no_store: DegradedReason | None,
        score_rows: ScoreRows,
        unavailable: DegradedReason | None = None,
    ) -> list[Preview]:
        """Return the previews of what `fold` returned. If `unavailable` gives a reason, nothing is scored."""
        outcomes = decide(self._policy, folded, score_rows, unavailable or no_store, self._control)
        return self._previews(folded, outcomes, no_store)

    def preview(
        self, transactions: Sequence[Transaction], models: ServedModels, no_champion: str
    ) -> tuple[list[Preview], UnexplainedAlerts]:
        """Return the previews, all by these models; `no_champion` says why there is no champion.

        The caller adds the reasons of the model's alerts: exact ones cost ten times as much as everything else.
        """
        folded, no_store = self.fold(transactions)
        if models.champion is None:
            unavailable = DegradedReason(DegradationCause.NO_CHAMPION, no_champion)
            return self.decide(folded, no_store, lambda *_: unavailable, unavailable), _NO_ALERTS
        outcomes = decide(self._policy, folded, partial(_score_rows, models), no_store, self._control)
        made = self._previews(folded, outcomes, no_store)
        alerts = [
            i
            for i, (preview, outcome) in enumerate(zip(made, outcomes, strict=True))
            if outcome.is_alert_of_model and not preview.repeated
        ]
        return made, UnexplainedAlerts(alerts, folded.rows.features[alerts]) if alerts else _NO_ALERTS

    def _previews(
        self, folded: FoldedTransactions, outcomes: Sequence[Outcome], no_store: DegradedReason | None
    ) -> list[Preview]:
        return previews(folded, outcomes, policy_version=self._policy_version, states_known=no_store is None)

    def preview_one(self, transaction: Transaction, model: LoadedModel) -> tuple[Preview, UnexplainedAlerts] | None:
        """Return what `preview` returns for this transaction, which `model` decides, in less than half of the time.

        Return None, where `preview` must be called instead: if the rules decide, if the card has seen the transaction,
        or if more than costs decides, because the policy has rules or a control share. Only one thread may call this.
        """
        if not self._costs_decide_alone:
            return None
        try:
            state = self._states.load((transaction.card_id,))
        except StoreUnavailable:
            return None
        table, why_not = choose_table(self._tables, utc_day(transaction.occurred_at))
        decided = None if why_not else self._one.decide(model.detector, table, state, transaction)
        if decided is None:
            return None
        made = Preview(
            transaction_id=transaction.transaction_id,
            sequence=decided.sequence,
            table_id=table.table_id,
            model_version=model.version.version,
            model_digest=model.version.digest,
            policy_version=self._policy_version,
            margin=decided.margin,
            probability=decided.probability,
            action=decided.action,
        )
        if decided.action is Action.APPROVE:
            return made, _NO_ALERTS
        return made, UnexplainedAlerts([0], self._one.features.copy())


def _score_rows(models: ServedModels, rows: ScorableRows) -> Scores:
    """Score with loaded models, without reasons: a `ScoreRows`. There is a champion."""
    served = (models.champion, models.candidate)
    return scores_of(models, [model.detector.margins(rows.features) for model in served if model is not None])
