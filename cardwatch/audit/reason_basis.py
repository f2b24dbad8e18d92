"""The feature values that the reasons of a decision rest on."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.degraded_rules import DEGRADED_RULES
from cardwatch.decision.overlay_rules import FIELDS, RULE_PREFIX, RuleCondition, fields_of
from cardwatch.events import Transaction
from cardwatch.features.definitions import FEATURES, REASONS, column
from cardwatch.features.reason_codes import NEUTRAL_CODE, REASON_CODES, REASON_TEXTS
from cardwatch.features.reason_conditions import Condition, Conditions

LARGEST_CONTRIBUTIONS: Final = 3
"""Number of features that are shown for a code besides those that its conditions name."""
_ALTERNATIVES: Final = {each.code: each.alternatives for each in REASON_CODES}
_OF_POLICY: Final = "a rule of the policy file"
_UNKNOWN: Final = "a code that this version does not know"


class ReasonSource(StrEnum):
    """The rule or model that gave a reason."""

    MODEL = "model"
    DEGRADED_RULE = "degraded_rule"
    POLICY_RULE = "policy_rule"


class BasisValue(Struct, frozen=True, kw_only=True):
    """A value that a reason rests on: of a feature, or of a field of the payment.

    `value` is None if it is missing. `condition` is the bound that it meets, empty if it has none. `contribution` is
    its share in the margin of the model, None where no model scored.
    """

    name: str
    value: float | str | None
    meaning: str
    unit: str
    condition: str
    contribution: float | None


class ReasonBasis(Struct, frozen=True, kw_only=True):
    """A reason of a decision, and the values that it rests on."""

    code: str
    text: str
    source: ReasonSource
    values: list[BasisValue]


def reason_basis(
    code: str,
    row: NDArray[np.float32],
    *,
    contributions: NDArray[np.float64] | None,
    policy: DecisionPolicy | None,
    payment: Transaction | None,
) -> ReasonBasis:
    """Return what a reason of a decision rests on.

    `row`: its features of this version's schema, float32 [features]. `contributions`: those of its model, float64
    [features], None if they are not known. A rule of an unknown policy has no values, and neither has an unknown code.
    """
    if code in DEGRADED_RULES:
        source, values = ReasonSource.DEGRADED_RULE, _of_degraded_rule(code, row, policy)
    elif code.startswith(RULE_PREFIX):
        source, values = ReasonSource.POLICY_RULE, _of_policy_rule(code, row, policy, payment)
    else:
        source, values = ReasonSource.MODEL, _of_model(code, row, contributions)
    text = REASON_TEXTS.get(code, _OF_POLICY if source is ReasonSource.POLICY_RULE else _UNKNOWN)
    return ReasonBasis(code=code, text=text, source=source, values=values)


def _of_model(code: str, row: NDArray[np.float32], contributions: NDArray[np.float64] | None) -> list[BasisValue]:
    """Return the features of the conditions that hold, and of the code those that raise the margin most."""
    conditions: dict[str, list[Condition]] = {}
    for alternative in _ALTERNATIVES.get(code, ()):
        if Conditions([(alternative,)]).hold(row[None])[0, 0]:
            for condition in alternative:
                conditions.setdefault(condition.feature, []).append(condition)
    named = [column(feature) for feature in conditions]
    if contributions is not None:
        is_of_code = np.array([code in {NEUTRAL_CODE, reason} for reason in REASONS])
        order = np.argsort(-contributions, kind="stable").tolist()
        raising = [at for at in order if is_of_code[at] and contributions[at] > 0.0]
        named += [at for at in raising[:LARGEST_CONTRIBUTIONS] if at not in named]
    return [_feature(row, at, _in_words(conditions.get(FEATURES[at].name, [])), contributions) for at in named]


def _of_degraded_rule(code: str, row: NDArray[np.float32], policy: DecisionPolicy | None) -> list[BasisValue]:
    terms = [] if policy is None else policy.degraded_rule(code)
    return [_feature(row, column(term.feature), f"{term.sign} {limit:,g}") for term, limit in terms]


def _of_policy_rule(
    code: str, row: NDArray[np.float32], policy: DecisionPolicy | None, payment: Transaction | None
) -> list[BasisValue]:
    rules = [rule for rule in policy.rules if rule.reason == code] if policy is not None else []
    return [_of_condition(condition, row, payment) for rule in rules for condition in rule.when]


def _of_condition(condition: RuleCondition, row: NDArray[np.float32], payment: Transaction | None) -> BasisValue:
    if condition.name in FIELDS:
        [value] = [None] if payment is None else fields_of([payment])(condition.name)
        one_of = f"one of {', '.join(condition.one_of)}"
        return BasisValue(
            name=condition.name,
            value=value,
            meaning="field of the payment",
            unit="",
            condition=one_of,
            contribution=None,
        )
    bounds = [f"≥ {condition.at_least:,g}"] if condition.at_least is not None else []
    bounds += [f"< {condition.below:,g}"] if condition.below is not None else []
    return _feature(row, column(condition.name), " and ".join(bounds))


def _feature(
    row: NDArray[np.float32], at: int, condition: str, contributions: NDArray[np.float64] | None = None
) -> BasisValue:
    feature = FEATURES[at]
    return BasisValue(
        name=feature.name,
        value=None if np.isnan(row[at]) else float(row[at]),
        meaning=feature.meaning,
        unit=feature.unit,
        condition=condition,
        contribution=None if contributions is None else float(contributions[at]),
    )


def _in_words(conditions: list[Condition]) -> str:
    """Return the bounds of one feature, each once. A bound of 0 from below says that the feature is known."""
    bounds = [
        "known" if each.low == 0.0 else f"≥ {each.low:,g}" if np.isfinite(each.low) else f"≤ {each.high:,g}"
        for each in conditions
    ]
    return " and ".join(dict.fromkeys(bounds))
