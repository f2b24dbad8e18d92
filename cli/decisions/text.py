"""Decisions as text for the terminal: one line, or everything that explains one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np

from adapters.records.position import LogPosition
from adapters.runtime.terminal_text import escaped
from cardwatch.decision.overlay_rules import RULE_PREFIX
from cardwatch.events import Decision
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.features.reason_codes import REASON_TEXTS
from cardwatch.topics import TRANSACTIONS

_COLUMNS: Final = "{:<24}  {:<10}  {:<24}  {:<16}  {:>16}  {:<17}  {:>11}  {:>10}  {}"
HEADING: Final = _COLUMNS.format(
    "decided", "position", "transaction", "card", "amount (minor)", "action", "probability", "latency", "reasons"
)
_BY_RULES: Final = " by rules"
_UNKNOWN: Final = "a code that this program does not know"
_OF_POLICY: Final = "a rule of the policy file"


def one_line(decision: Decision) -> str:
    """Return a decision as a row below `HEADING`. A value that is wider than its column moves the rest to the right."""
    transaction = decision.transaction
    return _COLUMNS.format(
        _time(decision.decided_at),
        f"{decision.partition}:{decision.offset}",
        escaped(transaction.transaction_id),
        escaped(transaction.card_id),
        f"{transaction.amount_minor:,} {transaction.currency}",
        decision.action.value + (_BY_RULES if decision.degraded else ""),
        "none" if decision.probability is None else f"{decision.probability:.4f}",
        f"{decision.latency_ms:,.1f} ms",
        ", ".join(map(escaped, decision.reasons)),
    ).rstrip()


def described(decision: Decision) -> str:
    """Return everything that the record says, with names and meanings."""
    position = LogPosition(TRANSACTIONS, decision.partition, decision.offset)
    by_rules = f"{_BY_RULES}: {decision.degraded_reason}" if decision.degraded else ""
    model = f"version {decision.model_version}, digest {decision.model_digest}" if decision.model_version else "none"
    schema = decision.feature_schema + ("" if _is_current(decision) else " (not that of this program)")
    facts = {
        "transaction": f"{decision.transaction.transaction_id} at {position}",
        "card": f"{decision.transaction.card_id}, {decision.sequence:,} of its transactions were folded before",
        "payment": _payment(decision),
        "decision": decision.action.value + by_rules + _control(decision),
        "decided": f"{_time(decision.decided_at)}, {decision.latency_ms:,.1f} ms after the record came into the log",
        "probability": _score(decision.probability, decision.margin),
        "model": model,
        "challenger": _challenger(decision),
        "policy": decision.policy_version,
        "table": decision.table_id,
        "schema": schema,
    }
    return "\n".join(
        [*(f"{name:<12} {escaped(text)}" for name, text in facts.items()), *_reasons(decision), *_features(decision)]
    )


def _reasons(decision: Decision) -> list[str]:
    if not decision.reasons:
        return ["reasons      none"]
    return ["", "reasons", *(f"  {escaped(code):<18} {_text_of(code)}" for code in decision.reasons)]


def _text_of(code: str) -> str:
    return REASON_TEXTS.get(code, _OF_POLICY if code.startswith(RULE_PREFIX) else _UNKNOWN)


def _payment(decision: Decision) -> str:
    transaction = decision.transaction
    parts = [
        f"{transaction.amount_minor:,} minor units of {transaction.currency}",
        f"merchant {transaction.merchant_id} (category {transaction.merchant_category})",
        transaction.channel.value,
        transaction.country,
        f"occurred {_time(transaction.occurred_at)}",
    ]
    if transaction.latitude is not None and transaction.longitude is not None:
        parts.append(f"at {transaction.latitude:.4f}, {transaction.longitude:.4f}")
    if transaction.device_id is not None:
        parts.append(f"device {transaction.device_id}")
    if transaction.customer_id is not None:
        parts.append(f"customer {transaction.customer_id}")
    if transaction.previous_outcome is not None:
        parts.append(f"previous attempt {transaction.previous_outcome.value}")
    if transaction.card_range is not None:
        parts.append(f"card range {transaction.card_range}")
    return ", ".join(parts)


def _score(probability: float | None, margin: float | None) -> str:
    return "none" if probability is None else f"{probability:.6f} of fraud (margin {margin})"


def _control(decision: Decision) -> str:
    if decision.control_propensity is None:
        return ""
    return f" instead of decline, as one of the control share of {decision.control_propensity:.2%}"


def _challenger(decision: Decision) -> str:
    if decision.shadow_version is None:
        return "none"
    return f"version {decision.shadow_version}: {_score(decision.shadow_probability, decision.shadow_margin)}"


def _features(decision: Decision) -> list[str]:
    """Return a line for each feature. Features of another schema have no known names and are numbered."""
    values = ["missing" if value is None else str(np.float32(value)) for value in decision.features]
    if not _is_current(decision):
        return ["", "features", *(f"  {number:<3} {value:>14}" for number, value in enumerate(values))]
    width = max(len(feature.name) for feature in FEATURES)
    return ["", "features"] + [
        f"  {feature.name:<{width}} {value:>14}  {feature.meaning} ({feature.unit})"
        for feature, value in zip(FEATURES, values, strict=True)
    ]


def _is_current(decision: Decision) -> bool:
    return decision.feature_schema == SCHEMA_HASH and len(decision.features) == len(FEATURES)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
