"""Previews on AWS: card states come from DynamoDB, scores with their reasons from a SageMaker endpoint.

Kernel, policy and answer are those of `services.scoring.api.preview`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.decide import DegradationCause, DegradedReason, query_scorer
from cardwatch.decision.records import Preview
from cardwatch.events import Transaction
from cardwatch.ports import Scorer
from services.scoring.api.preview import PreviewScorer

_REPEAT: Final = DegradedReason(DegradationCause.SCORING, "a repeat is not scored: its preview has no decision")


class RemotePreviewScorer:
    """Makes previews by a model that another machine serves."""

    def __init__(self, previews: PreviewScorer, scorer: Scorer, policy: DecisionPolicy) -> None:
        self._previews, self._score_rows = previews, partial(query_scorer, scorer, policy)

    def preview(self, transaction: Transaction) -> Preview:
        """Return the preview: by the model if it answers in time, else by the rules, and then with the reason."""
        folded, no_store = self._previews.fold([transaction])
        is_repeat = folded.rows.duplicates[0]
        [preview] = self._previews.decide(folded, no_store, self._score_rows, _REPEAT if is_repeat else None)
        return preview
