"""The question on AWS: what would be decided about a transaction, were it the next one? It changes nothing.

    card state from DynamoDB, newest reference table -> kernel -> endpoint -> policy

The same kernel, policy and answer as `services.scoring.api.preview`; only the model answers from another machine.
"""

from __future__ import annotations

import numpy as np

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import ModelRefused, ScoringUnavailable
from cardwatch.events import Action, Transaction
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.ports import Scorer, Scores
from services.scoring.api.preview import Asked, Preview, PreviewScorer


class RemotePreviewScorer:
    """Asks store, kernel, endpoint and policy."""

    def __init__(self, question: PreviewScorer, scorer: Scorer, policy: DecisionPolicy) -> None:
        self._question, self._scorer, self._policy = question, scorer, policy

    def ask(self, transaction: Transaction) -> Preview:
        """The answer, by the model if it answers in time, else by the rules, and then it says so and why."""
        asked = self._question.features([transaction])
        if asked.folded.duplicates[0]:
            return self._answer(asked, None, None, [], None)
        amounts = np.array([transaction.amount_minor], np.float64)
        why_rules = asked.no_store or asked.tables[0].why_rules
        scores: Scores | None = None
        if why_rules is None:
            try:
                scores = self._scorer.score(
                    asked.folded.features,
                    self._policy.alarming_probabilities(amounts),
                    schema_hash=SCHEMA_HASH,
                    transaction_ids=[transaction.transaction_id],
                )
            except (ScoringUnavailable, ModelRefused) as error:
                why_rules = str(error)
        if scores is None:
            [action], [reasons] = self._policy.decide_by_rules(asked.folded.features)
            return self._answer(asked, None, action, reasons, why_rules)
        [action] = self._policy.decide(scores.probabilities, amounts)
        return self._answer(asked, scores, action, [] if action is Action.APPROVE else scores.reasons[0], None)

    def _answer(
        self, asked: Asked, scores: Scores | None, action: Action | None, reasons: list[str], why_rules: str | None
    ) -> Preview:
        return Preview(
            transaction_id=asked.transactions[0].transaction_id,
            sequence=None if asked.no_store else int(asked.folded.sequences[0]),
            table_id=asked.tables[0].table.table_id,
            model_version=scores.model_version if scores else None,
            model_digest=scores.model_digest if scores else None,
            policy_version=self._policy.version,
            margin=float(scores.margins[0]) if scores else None,
            probability=float(scores.probabilities[0]) if scores else None,
            action=action,
            reasons=list(reasons),
            degraded=why_rules is not None,
            degraded_reason=why_rules,
            repeated=bool(asked.folded.duplicates[0]),
        )
