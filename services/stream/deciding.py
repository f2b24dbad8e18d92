"""Steps 2 and 3 of the commit order: one scoring call for the whole batch, then policy, then decisions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.errors import ModelRefused, ScoringUnavailable
from cardwatch.events import Action, Decision, from_epoch_ms
from cardwatch.features.table import SCHEMA_HASH
from cardwatch.policy import DecisionPolicy
from cardwatch.ports import Scorer, Scores
from services.stream.batch import Batch

log = logging.getLogger(__name__)


class Decider:
    """Asks the scorer, or the rules if it does not answer. `epoch_ms` is the wall clock, for latency only."""

    def __init__(self, scorer: Scorer, policy: DecisionPolicy, epoch_ms: Callable[[], float]) -> None:
        self._scorer, self._policy, self._epoch_ms = scorer, policy, epoch_ms
        self._policy_version: Final = policy.version

    def decide(self, batches: Sequence[Batch]) -> list[list[Decision]]:
        """Decisions for every transaction that is not a repeat, a list per batch."""
        fresh = [np.flatnonzero(~batch.folded.duplicates) for batch in batches]
        rows = np.concatenate([batch.folded.features[kept] for batch, kept in zip(batches, fresh, strict=True)])
        if len(rows) == 0:
            return [[] for _ in batches]
        scores, why_not = self._ask(rows)
        if scores is None:
            actions, reasons = self._policy.decide_by_rules(rows)
        else:
            amounts = np.concatenate([_amounts(batch, kept) for batch, kept in zip(batches, fresh, strict=True)])
            actions = self._policy.decide(scores.probabilities, amounts)
            reasons = [
                codes if action is not Action.APPROVE else []
                for codes, action in zip(scores.reasons, actions, strict=True)
            ]
        return self._write(batches, fresh, scores, why_not, actions, reasons)

    def _ask(self, rows: NDArray[np.float32]) -> tuple[Scores | None, str | None]:
        try:
            return self._scorer.score(rows, schema_hash=SCHEMA_HASH), None
        except (ScoringUnavailable, ModelRefused) as error:
            log.warning("the rules decide %d transactions: %s", len(rows), error)
            return None, str(error)

    def _write(
        self,
        batches: Sequence[Batch],
        fresh: Sequence[NDArray[np.int64]],
        scores: Scores | None,
        why_not: str | None,
        actions: Sequence[Action],
        reasons: Sequence[list[str]],
    ) -> list[list[Decision]]:
        now_ms = self._epoch_ms()
        decided_at = from_epoch_ms(int(now_ms))
        written: list[list[Decision]] = []
        row = 0
        for batch, kept in zip(batches, fresh, strict=True):
            features = batch.folded.features.astype(np.float64)
            written.append([])
            for i in kept.tolist():
                record = batch.records[i]
                written[-1].append(
                    Decision(
                        transaction=batch.transactions[i],
                        partition=record.partition,
                        offset=record.offset,
                        sequence=int(batch.folded.sequences[i]),
                        features=features[i].tolist(),
                        feature_schema=SCHEMA_HASH,
                        table_id=batch.table_ids[i],
                        model_version=scores.model_version if scores else None,
                        model_digest=scores.model_digest if scores else None,
                        policy_version=self._policy_version,
                        margin=float(scores.margins[row]) if scores else None,
                        probability=float(scores.probabilities[row]) if scores else None,
                        action=actions[row],
                        reasons=list(reasons[row]),
                        degraded=scores is None,
                        degraded_reason=why_not,
                        decided_at=decided_at,
                        latency_ms=round(max(now_ms - record.timestamp_ms, 0.0), 3),
                    )
                )
                row += 1
        return written


def _amounts(batch: Batch, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([batch.transactions[i].amount_minor for i in kept.tolist()], np.float64)
