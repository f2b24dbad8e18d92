"""Payments that are really decided by the decision path, and recorded, for tests that decide them again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final

import numpy as np
from msgspec import structs

from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.decision.decide import DegradationCause, DegradedReason, Outcome, ScorableRows, Scored, apply_policy
from cardwatch.decision.folding import FoldedTransactions, cards_of, fold_transactions
from cardwatch.events import Decision, Transaction
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.state import empty_states
from cardwatch.ports import Scores
from cardwatch.warm_up import EXAMPLE
from tests.properties.arbitrary_policies import KEY, Tables

DAY: Final = date(2025, 3, 1)
NOON: Final = datetime(2025, 3, 1, 12, tzinfo=UTC)
TIMEOUT: Final = DegradedReason(DegradationCause.SCORING, "no answer")


def decided(policy: DecisionPolicy, folded: FoldedTransactions, probabilities: Sequence[float | None]) -> list[Outcome]:
    """Decide with these probabilities; the rules decide where there is none, or no rate."""
    scorable = [
        i
        for i, (payment, probability) in enumerate(zip(folded.transactions, probabilities, strict=True))
        if probability is not None and policy.rate_of(payment.currency) is not None
    ]
    reasons = [None if i in scorable else TIMEOUT for i in range(len(probabilities))]
    if not scorable:
        return apply_policy(policy, Scored(folded, reasons, None, None), KEY)
    payments = [folded.transactions[i] for i in scorable]
    features = folded.rows.features[scorable]
    amounts = np.array([payment.amount_minor for payment in payments], np.float64)
    amounts *= np.array([policy.rate_of(payment.currency) for payment in payments], np.float64)
    scores = Scores(
        model_version="1",
        model_digest="",
        margins=np.zeros(len(scorable), np.float32),
        probabilities=np.array([probabilities[i] for i in scorable], np.float64),
        reasons=[[]] * len(scorable),
    )
    return apply_policy(
        policy, Scored(folded, reasons, ScorableRows(features, amounts, channels_of(features), payments), scores), KEY
    )


def folded_payments(fields: Sequence[dict[str, object]]) -> FoldedTransactions:
    """Return payments with these fields, at noon of `DAY` unless they say otherwise, and their features."""
    payments: list[Transaction] = [
        structs.replace(EXAMPLE, transaction_id=f"t-{number}", **({"occurred_at": NOON} | each))
        for number, each in enumerate(fields)
    ]
    cards, card_index = cards_of(payments)
    return fold_transactions(Tables(), empty_states(len(cards)), card_index, payments)


def recorded(policy: DecisionPolicy, folded: FoldedTransactions, outcomes: Sequence[Outcome]) -> list[Decision]:
    """Return the decisions of record, at the offsets 0, 1, ... of partition 0."""
    return [
        Decision(
            transaction=payment,
            partition=0,
            offset=number,
            sequence=0,
            features=[None if np.isnan(value) else value for value in features],
            feature_schema=SCHEMA_HASH,
            table_id="table",
            policy_version=policy.version,
            margin=outcome.margin,
            probability=outcome.probability,
            action=outcome.action,
            reasons=outcome.reasons,
            degraded=outcome.degraded_reason is not None,
            control_propensity=outcome.control_propensity,
            decided_at=payment.occurred_at,
            latency_ms=1.0,
        )
        for number, (payment, features, outcome) in enumerate(
            zip(folded.transactions, folded.rows.features.tolist(), outcomes, strict=True)
        )
    ]
