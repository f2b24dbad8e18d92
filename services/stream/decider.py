"""Steps 2 and 3 of the commit order: one scoring call for the whole batch, then policy, then decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import ModelRefused, NoModelServed, ScoringUnavailable
from cardwatch.events import Action, Decision, Transaction, from_epoch_ms
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.ports import Scorer, Scores
from services.stream.batch import Batch


class Cause(StrEnum):
    """Why the rules decide."""

    NO_CHAMPION = "no_champion"
    """The scoring service answers, and has no model: none was trained yet, or none that it may use."""
    SCORING = "scoring"
    """It does not answer, or not in time."""
    MODEL = "model"
    """Its model was made for another feature schema than ours."""
    TABLE = "table"
    """The reference table is stale or damaged."""


class Why(NamedTuple):
    """Why the rules and not the model, for a count and for a human."""

    cause: Cause
    text: str

    @classmethod
    def of_table(cls, why: str | None) -> Why | None:
        """What `TableChoice.why_rules` says."""
        return None if why is None else cls(Cause.TABLE, why)


class Decided(NamedTuple):
    """Decisions for every transaction that is not a repeat, a list per batch, and how many the rules made and why."""

    decisions: list[list[Decision]]
    by_rules: Counter[Why]


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
        asked = [(batch, i) for batch, kept in zip(batches, fresh, strict=True) for i in kept.tolist()]
        transactions = [batch.transactions[i] for batch, i in asked]
        why_rules = [Why.of_table(batch.tables[i].why_rules) for batch, i in asked]
        scores, verdicts = self._judge(rows, transactions, why_rules)
        by_rules = Counter(verdict.why_rules for verdict in verdicts if verdict.why_rules is not None)
        return Decided(self._write(batches, fresh, scores, verdicts), by_rules)

    def _judge(
        self, rows: NDArray[np.float32], transactions: Sequence[Transaction], why_rules: Sequence[Why | None]
    ) -> tuple[Scores | None, list[_Verdict]]:
        """A verdict for each row: the model's for those it may score, if it answers, and the rules' for the rest."""
        usable = [i for i, why in enumerate(why_rules) if why is None]
        amounts = np.array([transactions[i].amount_minor for i in usable], np.float64)
        transaction_ids = [transactions[i].transaction_id for i in usable]
        scores, no_answer = self._ask(rows[usable], amounts, transaction_ids) if usable else (None, None)
        by_model = dict(zip(usable, self._by_model(scores, amounts), strict=True)) if scores else {}
        ruled = {i: why or no_answer or _NO_REASON for i, why in enumerate(why_rules) if i not in by_model}
        by_rules = dict(zip(ruled, self._by_rules(rows[list(ruled)], list(ruled.values())), strict=True))
        verdicts = by_model | by_rules
        return scores, [verdicts[i] for i in range(len(rows))]

    def _ask(
        self, rows: NDArray[np.float32], amounts: NDArray[np.float64], transaction_ids: Sequence[str]
    ) -> tuple[Scores | None, Why | None]:
        alarming = self._policy.alarming_probabilities(amounts)
        try:
            return self._scorer.score(rows, alarming, schema_hash=SCHEMA_HASH, transaction_ids=transaction_ids), None
        except NoModelServed as error:
            return None, Why(Cause.NO_CHAMPION, str(error))
        except ScoringUnavailable as error:
            return None, Why(Cause.SCORING, str(error))
        except ModelRefused as error:
            return None, Why(Cause.MODEL, str(error))

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

    def _by_rules(self, rows: NDArray[np.float32], why_rules: Sequence[Why]) -> list[_Verdict]:
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


_NO_REASON: Final = Why(Cause.SCORING, "")


class _Verdict(NamedTuple):
    """`why_rules`: why the rules and not the model; margin and probability are the model's."""

    action: Action
    reasons: list[str]
    why_rules: Why | None
    margin: float | None = None
    probability: float | None = None
    shadow_margin: float | None = None
    shadow_probability: float | None = None


def _shadow_of_each(scores: Scores) -> Iterable[tuple[float | None, float | None]]:
    if scores.shadow is None:
        return [(None, None)] * len(scores.margins)
    return zip(scores.shadow.margins.tolist(), scores.shadow.probabilities.tolist(), strict=True)
