"""Previews on AWS: card states come from DynamoDB, scores with their reasons from a SageMaker endpoint.

Kernel, policy and answer are those of `services.scoring.api.preview`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.decide import query_scorer
from cardwatch.decision.records import Preview
from cardwatch.events import Transaction
from cardwatch.ports import Scorer
from services.scoring.api.preview import PreviewScorer


class RemotePreviewScorer:
    """Makes previews by a model that another machine serves."""

    def __init__(self, previews: PreviewScorer, scorer: Scorer, policy: DecisionPolicy) -> None:
        self._previews, self._score_rows = previews, partial(query_scorer, scorer, policy)
        self._policy_version: Final = policy.version

    def preview(self, transaction: Transaction) -> Preview:
        """Return the preview: by the model if it answers in time, else by the rules, and then with the reason.

        The preview of a repeat has no decision, so the model is not queried.
        """
        folded, no_store = self._previews.fold([transaction])
        if folded.rows.duplicates[0]:
            return Preview(
                transaction_id=transaction.transaction_id,
                sequence=int(folded.rows.sequences[0]),
                table_id=folded.tables[0].table.table_id,
                model_version=None,
                model_digest=None,
                policy_version=self._policy_version,
                repeated=True,
            )
        [preview] = self._previews.decide(folded, no_store, self._score_rows)
        return preview
