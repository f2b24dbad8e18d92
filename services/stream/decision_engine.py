"""Steps 2 and 3 of the commit order: one scoring request for all batches, then policy, then decisions of record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import compress
from typing import Final, NamedTuple

from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.decide import DegradedReason, Scored, apply_policy, query_scorer, require_control, score
from cardwatch.decision.folding import concatenate_without_repeats
from cardwatch.decision.records import decisions_of_record
from cardwatch.events import Decision
from cardwatch.ports import Scorer
from cardwatch.records import Record
from services.stream.batch import Batch


class ScoredBatches(NamedTuple):
    """The scores of all transactions but repeats, in order, and the records that hold these transactions."""

    records: Sequence[Record]
    scored: Scored


class DecidedBatches(NamedTuple):
    """The decisions for all transactions but repeats, in order, and how many of them the rules made, by reason."""

    decisions: Sequence[Decision]
    degraded: Counter[DegradedReason]


class DecisionEngine:
    """Decides batches with a remote scorer. `epoch_ms` is the wall clock, for latency only.

    `control` chooses the transactions of the policy's control share; the constructor raises `ValueError` without it.
    """

    def __init__(
        self,
        scorer: Scorer,
        policy: DecisionPolicy,
        epoch_ms: Callable[[], float],
        control: ControlSample | None = None,
    ) -> None:
        require_control(policy, control)
        self._policy, self._epoch_ms, self._control = policy, epoch_ms, control
        self._score_rows = partial(query_scorer, scorer, policy)
        self._policy_version: Final = policy.version

    def score(self, batches: Sequence[Batch]) -> ScoredBatches:
        """Score one or more batches with one request."""
        folded = concatenate_without_repeats([batch.folded for batch in batches])
        records = [
            record for batch in batches for record in compress(batch.records, (~batch.folded.rows.duplicates).tolist())
        ]
        return ScoredBatches(records, score(self._policy, folded, self._score_rows))

    def decide(self, batches: Sequence[Batch]) -> DecidedBatches:
        """Decide one or more batches: `score`, then `apply_policy`."""
        return self.apply_policy(self.score(batches))

    def apply_policy(self, batches: ScoredBatches) -> DecidedBatches:
        """Decide scored batches."""
        records, scored = batches
        outcomes = apply_policy(self._policy, scored, self._control)
        decisions = decisions_of_record(
            scored.folded, records, outcomes, policy_version=self._policy_version, now_ms=self._epoch_ms()
        )
        reasons = (outcome.degraded_reason for outcome in outcomes)
        return DecidedBatches(decisions, Counter(reason for reason in reasons if reason is not None))
