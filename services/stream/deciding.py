"""Steps 2 and 3 of the commit order: one scoring call for the whole batch, then policy, then decisions."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.errors import ModelRefused, ScoringUnavailable
from cardwatch.events import Action, Decision, from_epoch_ms
from cardwatch.features.table import SCHEMA_HASH
from cardwatch.policy import DecisionPolicy
from cardwatch.ports import Scorer, Scores
from services.stream.batch import Batch

log = logging.getLogger(__name__)


class Cause(StrEnum):
    """Why the rules decide: the scoring service has no answer, it refuses the model, the reference table is stale."""

    SCORING = "scoring"
    MODEL = "model"
    TABLE = "table"


class Decided(NamedTuple):
    """Decisions for every transaction that is not a repeat, a list per batch, and how many the rules made, by cause."""

    decisions: list[list[Decision]]
    by_rules: Counter[Cause]


class Decider:
    """Asks the scorer, or the rules if it does not answer or the reference table is not to be relied on.

    `epoch_ms` is the wall clock, for latency only.
    """

    def __init__(self, scorer: Scorer, policy: DecisionPolicy, epoch_ms: Callable[[], float]) -> None:
        self._scorer, self._policy, self._epoch_ms = scorer, policy, epoch_ms
        self._policy_version: Final = policy.version

    def decide(self, batches: Sequence[Batch]) -> Decided:
        """Decide all batches with one question to the scorer."""
        fresh = [np.flatnonzero(~batch.folded.duplicates) for batch in batches]
        rows = np.concatenate([batch.folded.features[kept] for batch, kept in zip(batches, fresh, strict=True)])
        if len(rows) == 0:
            return Decided([[] for _ in batches], Counter())
        amounts = np.concatenate([_amounts(batch, kept) for batch, kept in zip(batches, fresh, strict=True)])
        why_rules = [
            _Why.of_table(batch.tables[i].why_rules)
            for batch, kept in zip(batches, fresh, strict=True)
            for i in kept.tolist()
        ]
        scores, verdicts = self._judge(rows, amounts, why_rules)
        by_rules = Counter(verdict.why_rules.cause for verdict in verdicts if verdict.why_rules is not None)
        return Decided(self._write(batches, fresh, scores, verdicts), by_rules)

    def _judge(
        self, rows: NDArray[np.float32], amounts: NDArray[np.float64], why_rules: list[_Why | None]
    ) -> tuple[Scores | None, list[_Verdict]]:
        """A verdict for each row: the model's for those it may score, if it answers, and the rules' for the rest."""
        usable = [i for i, why in enumerate(why_rules) if why is None]
        scores, no_answer = self._ask(rows[usable], amounts[usable]) if usable else (None, None)
        by_model = dict(zip(usable, self._by_model(scores, amounts[usable]), strict=True)) if scores else {}
        ruled = {i: why or no_answer or _NO_REASON for i, why in enumerate(why_rules) if i not in by_model}
        by_rules = dict(zip(ruled, self._by_rules(rows[list(ruled)], list(ruled.values())), strict=True))
        verdicts = by_model | by_rules
        return scores, [verdicts[i] for i in range(len(rows))]

    def _ask(self, rows: NDArray[np.float32], amounts: NDArray[np.float64]) -> tuple[Scores | None, _Why | None]:
        try:
            alarming = self._policy.alarming_probabilities(amounts)
            return self._scorer.score(rows, alarming, schema_hash=SCHEMA_HASH), None
        except ScoringUnavailable as error:
            return None, _Why(Cause.SCORING, str(error))
        except ModelRefused as error:
            return None, _Why(Cause.MODEL, str(error))

    def _by_model(self, scores: Scores, amounts: NDArray[np.float64]) -> list[_Verdict]:
        actions = self._policy.decide(scores.probabilities, amounts)
        return [
            _Verdict(action, codes if action is not Action.APPROVE else [], None, margin, probability, *shadow)
            for action, codes, margin, probability, shadow in zip(
                actions,
                scores.reasons,
                scores.margins.tolist(),
                scores.probabilities.tolist(),
                _shadow_of_each(scores),
                strict=True,
            )
        ]

    def _by_rules(self, rows: NDArray[np.float32], why_rules: Sequence[_Why]) -> list[_Verdict]:
        for why, number in Counter(why_rules).items():
            log.warning("the rules decide %d transactions: %s", number, why.text)
        actions, reasons = self._policy.decide_by_rules(rows)
        return [_Verdict(*verdict) for verdict in zip(actions, reasons, why_rules, strict=True)]

    def _write(
        self,
        batches: Sequence[Batch],
        fresh: Sequence[NDArray[np.int64]],
        scores: Scores | None,
        verdicts: Sequence[_Verdict],
    ) -> list[list[Decision]]:
        now_ms = self._epoch_ms()
        decided_at = from_epoch_ms(int(now_ms))
        written: list[list[Decision]] = []
        verdict_of_row = iter(verdicts)
        for batch, kept in zip(batches, fresh, strict=True):
            features = batch.folded.features.astype(np.float64)
            written.append([])
            for i in kept.tolist():
                record, verdict = batch.records[i], next(verdict_of_row)
                model = scores if verdict.why_rules is None else None
                written[-1].append(
                    Decision(
                        transaction=batch.transactions[i],
                        partition=record.partition,
                        offset=record.offset,
                        sequence=int(batch.folded.sequences[i]),
                        features=features[i].tolist(),
                        feature_schema=SCHEMA_HASH,
                        table_id=batch.tables[i].table.table_id,
                        model_version=model.model_version if model else None,
                        model_digest=model.model_digest if model else None,
                        policy_version=self._policy_version,
                        margin=verdict.margin,
                        probability=verdict.probability,
                        action=verdict.action,
                        reasons=list(verdict.reasons),
                        degraded=verdict.why_rules is not None,
                        degraded_reason=verdict.why_rules.text if verdict.why_rules else None,
                        shadow_version=model.shadow.model_version if model and model.shadow else None,
                        shadow_margin=verdict.shadow_margin,
                        shadow_probability=verdict.shadow_probability,
                        decided_at=decided_at,
                        latency_ms=round(max(now_ms - record.timestamp_ms, 0.0), 3),
                    )
                )
        return written


class _Why(NamedTuple):
    """Why the rules and not the model, for a count and for a human."""

    cause: Cause
    text: str

    @classmethod
    def of_table(cls, why: str | None) -> _Why | None:
        return None if why is None else cls(Cause.TABLE, why)


_NO_REASON: Final = _Why(Cause.SCORING, "")


class _Verdict(NamedTuple):
    """`why_rules`: why the rules and not the model; margin and probability are the model's."""

    action: Action
    reasons: list[str]
    why_rules: _Why | None
    margin: float | None = None
    probability: float | None = None
    shadow_margin: float | None = None
    shadow_probability: float | None = None


def _shadow_of_each(scores: Scores) -> Iterable[tuple[float | None, float | None]]:
    if scores.shadow is None:
        return [(None, None)] * len(scores.margins)
    return zip(scores.shadow.margins.tolist(), scores.shadow.probabilities.tolist(), strict=True)


def _amounts(batch: Batch, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([batch.transactions[i].amount_minor for i in kept.tolist()], np.float64)
