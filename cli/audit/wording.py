"""The words that text and page of an audit share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cardwatch.audit.checks import CheckName, CheckStatus
from cardwatch.audit.lineage import ModelLineage
from cardwatch.audit.reason_basis import BasisValue, ReasonSource
from cardwatch.events import Transaction
from cardwatch.wording import plural
from cli.audit.report import DaysAudit, DecisionAudit

STATUS_WORDS: Final = {
    CheckStatus.EQUAL: "equal",
    CheckStatus.DIFFERENT: "DIFFERENT",
    CheckStatus.NOT_CHECKED: "not checked",
}
SOURCE_WORDS: Final = {
    ReasonSource.MODEL: "by the model",
    ReasonSource.DEGRADED_RULE: "by a degraded rule",
    ReasonSource.POLICY_RULE: "by a rule of the policy file",
}


def name_of(check: CheckName) -> str:
    """Return the name of a check in words."""
    return check.value.replace("_", " ")


def decision_headline(audit: DecisionAudit) -> str:
    """Return the result of the audit of a decision as one sentence."""
    unchecked = len(audit.with_status(CheckStatus.NOT_CHECKED))
    equal = len(audit.with_status(CheckStatus.EQUAL))
    rest = f"; {plural(unchecked, 'check')} could not be made" if unchecked else ""
    if audit.differences:
        return f"{plural(audit.differences, 'difference')}, {plural(equal, 'check')} equal{rest}"
    return f"Reproduced to the bit: {plural(equal, 'check')} equal, 0 differences{rest}"


def days_headline(audit: DaysAudit) -> str:
    """Return the result of the audit of days as one sentence."""
    counts = audit.counts
    unchecked = sum(sum(check.not_checked.values()) for check in counts.checks)
    rest = f"; {plural(unchecked, 'check')} could not be made" if unchecked else ""
    return f"{plural(counts.decisions, 'decision')} audited, {plural(audit.differences, 'difference')}{rest}"


def facts_of(audit: DecisionAudit) -> dict[str, str]:
    """Return what was decided, by the name of the fact."""
    record = audit.record
    by_rules = f", by rules: {record['degraded_reason']}" if record["degraded"] else ""
    control = record["control_propensity"]
    drawn = "" if control is None else f", instead of decline, as one of the control share of {control:.2%}"
    score = "none" if record["probability"] is None else f"{record['probability']} of fraud, margin {record['margin']}"
    shadow = record["shadow_version"]
    return {
        "position": f"transactions[{audit.partition}] {audit.offset}",
        "card": f"{record['card_id']}, {record['sequence']:,} of its transactions were folded before",
        "payment": payment_of(audit.payment) if audit.payment else "not in the log",
        "decision": f"{record['action']}{by_rules}{drawn}",
        "decided": f"{moment(record['decided_at'])}, {record['latency_ms']:,.1f} ms after the record came into the log",
        "probability": score,
        "model": "none" if record["model_version"] is None else f"version {record['model_version']}",
        "digest": record["model_digest"] or "none",
        "other model": "none"
        if shadow is None
        else f"version {shadow}: {record['shadow_probability']} of fraud, margin {record['shadow_margin']}",
        **({"canary": _canary(record)} if record["canary_version"] is not None else {}),
        "policy": f"{record['policy_version']}" + (f", found in {audit.policy_source}" if audit.policy_source else ""),
        "table": record["table_id"] or "none",
        "feature schema": record["feature_schema"] or "none",
    }


def payment_of(payment: Transaction) -> str:
    """Return a payment of the log in words."""
    return (
        f"{payment.amount_minor:,} minor units of {payment.currency} at merchant {payment.merchant_id}, category "
        f"{payment.merchant_category}, {payment.channel.value}, {payment.country}, occurred "
        f"{moment(payment.occurred_at)}"
    )


def lineage_facts(lineage: ModelLineage) -> dict[str, str]:
    """Return where a model comes from, by the name of the fact."""
    promotion = lineage.promotion
    because = "; ".join(promotion.because)
    return {
        "model": f"version {lineage.version}, digest {lineage.digest or 'not recorded'}",
        "trained on": _window(lineage.trained),
        "judged on": _window(lineage.judged),
        "trained by": f"cardwatch {lineage.code_version}" if lineage.code_version else "not recorded",
        "trained because": because or "not recorded",
        "made to decide by": promotion.by or promotion.remark or "not recorded",
        **({"on": promotion.at, "why": promotion.reason} if promotion.at else {}),
        "verdict": promotion.verdict or "not recorded",
        "digest of the verdict": promotion.verdict_digest or "not recorded",
        "evidence holds": "no: " + "; ".join(lineage.faults)
        if lineage.faults
        else "yes, the verdict follows again from its rows"
        if lineage.follows
        else f"not checked: {lineage.note}",
    }


def value_of(value: BasisValue) -> str:
    """Return a value with its unit."""
    if value.value is None:
        return "missing"
    shown = value.value if isinstance(value.value, str) else number(value.value)
    return f"{shown} {value.unit}".rstrip()


def number(value: float | None) -> str:
    """Return a number with at most seven digits, which is all that a float32 has, or "missing"."""
    return "missing" if value is None else f"{value:,.7g}"


def contribution_of(value: float | None) -> str:
    """Return the share of a feature in the margin, empty if it is not known."""
    return "" if value is None else f"{value:+.3f}"


def moment(value: Any) -> str:
    """Return a time in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else "not recorded"


def _canary(record: Mapping[str, Any]) -> str:
    return f"version {record['canary_version']} decided {record['canary_share']:.0%} of the cards then"


def _window(days: list[str]) -> str:
    return f"{days[0]} up to, but not including, {days[1]}" if len(days) == 2 else "not recorded"
