"""Checks of what was decided: by whom, under which policy, with which action and reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from cardwatch.audit.checks import CheckedColumn, CheckName, Compared, Unchecked, checked, same_bits, shown
from cardwatch.audit.outcomes_again import OTHER_SCHEMA, OutcomesAgain
from cardwatch.audit.recorded_columns import AuditedDecisions
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.features.definitions import SCHEMA_HASH

NO_KEY: Final = "CARDWATCH_CONTROL_KEY is not given, and only the key tells what the control share draws"
OUTAGE: Final = "only the record tells what failed at that moment"


def outcome_checks(
    decisions: AuditedDecisions,
    again: OutcomesAgain,
    policies: Mapping[str, DecisionPolicy],
    control: ControlSample | None,
) -> list[CheckedColumn]:
    """Return the checks of the outcome, which was computed again."""
    return [
        _degraded(decisions, again),
        _policy(decisions, policies),
        _action(decisions, again),
        _control(decisions, again, control),
        _reasons(decisions, again),
    ]


def _degraded(decisions: AuditedDecisions, again: OutcomesAgain) -> CheckedColumn:
    has_score, recorded = decisions.has_score, decisions.degraded_reasons
    has_part = ~(np.isnan(decisions.margins) & np.isnan(decisions.probabilities) & decisions.model_versions.is_missing)
    different = (decisions.is_degraded == has_score) | (has_part != has_score)
    different |= decisions.is_degraded == recorded.is_missing
    computed = np.array([reason is not None for reason in again.degraded_reasons], np.bool_)
    other = [reason is not None and reason != recorded.of(row) for row, reason in enumerate(again.degraded_reasons)]
    different = different | np.array(other, np.bool_)
    unchecked = Unchecked(len(decisions))
    unchecked.add(OUTAGE, decisions.is_degraded & ~computed & ~different)

    def values(row: int) -> Compared:
        parts = "a score" if has_score[row] else "no score"
        text = f"{parts}, {'degraded: ' + recorded.shown(row) if decisions.is_degraded[row] else 'not degraded'}"
        reason = again.degraded_reasons[row]
        if reason is not None:
            return Compared(text, f"no score, degraded: {reason}")
        return Compared(text, "" if decisions.is_degraded[row] else "a score, not degraded")

    return checked(CheckName.DEGRADED, len(decisions), different, values, unchecked)


def _policy(decisions: AuditedDecisions, policies: Mapping[str, DecisionPolicy]) -> CheckedColumn:
    versions, unchecked = decisions.policy_versions, Unchecked(len(decisions))
    for code, name in enumerate(versions.names):
        if name not in policies:
            unchecked.add(f"policy {name} is not at hand: name its file with --decided-by", versions.codes == code)

    def values(row: int) -> Compared:
        name = versions.of(row)
        return Compared(versions.shown(row), name if name in policies and name is not None else "")

    return checked(CheckName.POLICY, len(decisions), versions.is_missing, values, unchecked)


def _action(decisions: AuditedDecisions, again: OutcomesAgain) -> CheckedColumn:
    computed = [None if outcome is None else outcome.action.value for outcome in again.outcomes]
    different = [action != decisions.actions.of(row) for row, action in enumerate(computed)]

    def values(row: int) -> Compared:
        return Compared(decisions.actions.shown(row), computed[row] or "")

    return checked(CheckName.ACTION, len(decisions), np.array(different, np.bool_), values, again.problems)


def _control(decisions: AuditedDecisions, again: OutcomesAgain, control: ControlSample | None) -> CheckedColumn:
    count = len(decisions)
    is_recorded, is_subject = ~np.isnan(decisions.propensities), again.drawn_from > 0.0
    expected, unchecked = np.full(count, np.nan), Unchecked(count)
    for reason, rows in again.problems.by_reason.items():
        unchecked.add(reason, rows)
    if control is None:
        unchecked.add(NO_KEY, is_subject & (~is_recorded | (decisions.propensities == again.drawn_from)))
    else:
        for row in np.flatnonzero(is_subject).tolist():
            if control.contains(decisions.transaction_ids[row], again.drawn_from[row]):
                expected[row] = again.drawn_from[row]

    def values(row: int) -> Compared:
        remark = "" if is_subject[row] else "no decline from which the policy draws"
        if is_subject[row] and control is not None and not same_bits(decisions.propensities, expected)[row]:
            remark = "is CARDWATCH_CONTROL_KEY the key of that day?"
        computed = "" if unchecked.any[row] else _propensity(expected[row])
        return Compared(_propensity(decisions.propensities[row]), computed, remark)

    return checked(
        CheckName.CONTROL,
        len(decisions),
        ~same_bits(decisions.propensities, expected),
        values,
        unchecked,
        applies=is_recorded | is_subject,
    )


def _reasons(decisions: AuditedDecisions, again: OutcomesAgain) -> CheckedColumn:
    unchecked = Unchecked(len(decisions))
    for reason, rows in again.problems.by_reason.items():
        unchecked.add(reason, rows)
    unknown = OTHER_SCHEMA if decisions.feature_schema != SCHEMA_HASH else "the model that scored cannot be used"
    unchecked.add(unknown, ~again.has_reasons)
    different = [
        outcome is None or outcome.reasons != recorded
        for outcome, recorded in zip(again.outcomes, decisions.reasons, strict=True)
    ]

    def values(row: int) -> Compared:
        outcome = again.outcomes[row]
        is_known = outcome is not None and not unchecked.any[row]
        computed = (", ".join(outcome.reasons) or "none") if outcome is not None and is_known else ""
        return Compared(", ".join(decisions.reasons[row]) or "none", computed)

    return checked(CheckName.REASONS, len(decisions), np.array(different, np.bool_), values, unchecked)


def _propensity(value: float) -> str:
    return "not drawn" if np.isnan(value) else f"approved with probability {shown(value)}"
