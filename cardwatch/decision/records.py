"""Decisions of record and previews: an outcome as it is written to the log, and as `/v1/score` returns it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import orjson
from msgspec import Raw, Struct
from numpy.typing import NDArray

from cardwatch.decision.decide import Outcome
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.events import Action, EncodedDecision, from_epoch_ms
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.records import Record

_TWICE_ROUNDED: Final = b"7.038531e-26"
_WITH_ONE_MORE_DIGIT: Final = b"7.0385307e-26"
"""The only number, with its negative, that is not read as the same float32 when it is rounded to a float64 first: the
float64 lies in the middle between two float32. All 2^31 bit patterns were tried."""


class Preview(Struct, frozen=True, kw_only=True):
    """The answer of `/v1/score` about one transaction.

    `sequence` counts the card's transactions that the state had seen, None if the store does not answer. Where the
    rules decide, there is no margin and no probability, `degraded` is true and `degraded_reason` says why, as in a
    decision of record. `repeated`: the card's state holds this transaction already; its decision of record exists, and
    the preview has none. `control_propensity` as in a decision of record.
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
    control_propensity: float | None = None


def decisions_of_record(
    folded: FoldedTransactions,
    records: Sequence[Record],
    outcomes: Sequence[Outcome],
    *,
    policy_version: str,
    now_ms: float,
) -> list[EncodedDecision]:
    """Return the decision for each folded transaction; `records` are those of the log that held the transactions.

    `now_ms` is the wall clock in milliseconds since 1970, for `decided_at` and `latency_ms` only.
    """
    decided_at = from_epoch_ms(int(now_ms))
    return [
        EncodedDecision(
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
            canary_version=outcome.canary_version,
            canary_share=outcome.canary_share,
            control_propensity=outcome.control_propensity,
            decided_at=decided_at,
            latency_ms=round(max(now_ms - record.timestamp_ms, 0.0), 3),
        )
        for transaction, choice, sequence, features, record, outcome in zip(
            folded.transactions,
            folded.tables,
            folded.rows.sequences.tolist(),
            encode_rows(folded.rows.features),
            records,
            outcomes,
            strict=True,
        )
    ]


def encode_rows(features: NDArray[np.float32]) -> list[Raw]:
    """Return each row of float32 [n, features] as a JSON array, null for NaN.

    A number has the fewest digits that identify the float32, so that a reader who takes it for a float64 and rounds
    that gets the same float32. One number needs a digit more for that, see `_TWICE_ROUNDED`.
    """
    if not len(features):
        return []
    rows = orjson.dumps(np.ascontiguousarray(features), option=orjson.OPT_SERIALIZE_NUMPY)
    if _TWICE_ROUNDED in rows:
        rows = rows.replace(_TWICE_ROUNDED, _WITH_ONE_MORE_DIGIT)
    return [Raw(b"[%b]" % row) for row in rows[2:-2].split(b"],[")]


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
            control_propensity=None if is_repeat else outcome.control_propensity,
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
