"""Decisions of record and previews: an outcome as it is written to the log, and as `/v1/score` returns it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from cardwatch.decision.decide import Outcome
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.events import Action, Decision, from_epoch_ms
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.records import Record


class Preview(Struct, frozen=True, kw_only=True):
    """The answer of `/v1/score` about one transaction.

    `sequence` counts the card's transactions that the state had seen, None if the store does not answer. Where the
    rules decide, there is no margin and no probability, `degraded` is true and `degraded_reason` says why, as in a
    decision of record. `repeated`: the card's state holds this transaction already; its decision of record exists, and
    the preview has none.
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


def decisions_of_record(
    folded: FoldedTransactions,
    records: Sequence[Record],
    outcomes: Sequence[Outcome],
    *,
    policy_version: str,
    now_ms: float,
) -> list[Decision]:
    """Return the decision for each folded transaction; `records` are those of the log that held the transactions.

    `now_ms` is the wall clock in milliseconds since 1970, for `decided_at` and `latency_ms` only.
    """
    decided_at = from_epoch_ms(int(now_ms))
    return [
        Decision(
            transaction=transaction,
            partition=record.partition,
            offset=record.offset,
            sequence=sequence,
            features=features,
            feature_schema=SCHEMA_HASH,
            table_id=choice.table.table_id,
            model_version=outcome.model_version,
            model_digest=outcome.model_digest,
            policy_version=policy_version,
            margin=outcome.margin,
            probability=outcome.probability,
            action=outcome.action,
            reasons=outcome.reasons,
            degraded=outcome.degraded_reason is not None,
            degraded_reason=outcome.degraded_reason.text if outcome.degraded_reason else None,
            shadow_version=outcome.shadow_version,
            shadow_margin=outcome.shadow_margin,
            shadow_probability=outcome.shadow_probability,
            decided_at=decided_at,
            latency_ms=round(max(now_ms - record.timestamp_ms, 0.0), 3),
        )
        for transaction, choice, sequence, features, record, outcome in zip(
            folded.transactions,
            folded.tables,
            folded.rows.sequences.tolist(),
            folded.rows.features.astype(np.float64).tolist(),
            records,
            outcomes,
            strict=True,
        )
    ]


def previews(
    folded: FoldedTransactions, outcomes: Sequence[Outcome], *, policy_version: str, states_known: bool
) -> list[Preview]:
    """Return the preview of each folded transaction; a repeat's has no decision, whatever its outcome is.

    `states_known` is False if the transactions were folded over empty states because the store did not answer.
    """
    return [
        Preview(
            transaction_id=transaction.transaction_id,
            sequence=sequence if states_known else None,
            table_id=choice.table.table_id,
            model_version=outcome.model_version,
            model_digest=outcome.model_digest,
            policy_version=policy_version,
            margin=None if is_repeat else outcome.margin,
            probability=None if is_repeat else outcome.probability,
            action=None if is_repeat else outcome.action,
            reasons=[] if is_repeat else outcome.reasons,
            degraded=(reason := None if is_repeat else outcome.degraded_reason) is not None,
            degraded_reason=reason.text if reason else None,
            repeated=is_repeat,
        )
        for transaction, choice, sequence, is_repeat, outcome in zip(
            folded.transactions,
            folded.tables,
            folded.rows.sequences.tolist(),
            folded.rows.duplicates.tolist(),
            outcomes,
            strict=True,
        )
    ]
