"""Rules of the policy file that overlay the model: conditions over a transaction, with an action and a reason code.

They are evaluated after the model or the degraded rules; of all actions the strictest wins. A rule can make a decision
stricter and never milder, because a rule that approves would hide from the model's alerts whatever it covers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import Annotated, Final, TypeAlias

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from cardwatch.events import Action, Channel, Transaction
from cardwatch.features.definitions import FEATURE_NAMES, column

FIELDS: Final = {
    "country": re.compile("[A-Z]{2}"),
    "currency": re.compile("[A-Z]{3}"),
    "merchant_category": re.compile("[0-9]{4}"),
    "channel": re.compile("|".join(channel.value for channel in Channel)),
    "merchant_id": re.compile(".{1,64}"),
    "card_range": re.compile(".{1,64}"),
}
"""The fields of a transaction that a condition may name, and the form of their values."""

RULE_PREFIX: Final = "POLICY_"
"""Tells a reason code of the policy file from those of models and of the degraded rules."""
FieldColumns: TypeAlias = Callable[[str], Sequence[str | None]]
"""Returns the values that n transactions have in one of the `FIELDS`, None where one has none."""
RuleReason = Annotated[str, Meta(pattern=rf"^{RULE_PREFIX}[A-Z0-9_]{{1,40}}\Z")]


class RuleCondition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One condition: a field with `one_of` its values, or a feature with `at_least`, `below` or both.

    It is false where the field or the feature is missing.

    >>> rows = np.full((1, len(FEATURE_NAMES)), 600, np.float32)
    >>> RuleCondition(name="amount", at_least=500.0).holds_for(rows, fields_of([])).tolist()
    [True]
    """

    name: str
    one_of: tuple[str, ...] = ()
    at_least: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` for a condition that could never hold, or whose name is neither field nor feature."""
        bounds = [bound for bound in (self.at_least, self.below) if bound is not None]
        if self.name in FIELDS:
            self._check_field(bounds)
        elif self.name in FEATURE_NAMES:
            if self.one_of or not bounds:
                raise ValueError(f"{self.name} is a feature, so it needs at_least or below, and has no one_of")
            if not all(isfinite(bound) for bound in bounds):
                raise ValueError(f"{self.name}: at_least and below must be finite numbers")
            if len(bounds) > 1 and bounds[0] >= bounds[1]:
                raise ValueError(f"{self.name}: no value is at least {bounds[0]:g} and below {bounds[1]:g}")
        else:
            raise ValueError(f"{self.name!r} is neither a feature (docs/features.md) nor one of {', '.join(FIELDS)}")

    def _check_field(self, bounds: list[float]) -> None:
        if bounds or not self.one_of:
            raise ValueError(f"{self.name} is a field of the transaction, so it needs one_of, and no bounds")
        for value in self.one_of:
            if not FIELDS[self.name].fullmatch(value):
                raise ValueError(f"{self.name}: {value!r} is no value of this field")

    def holds_for(self, features: NDArray[np.float32], fields: FieldColumns) -> NDArray[np.bool_]:
        """Return for which of n transactions, with features float32 [n, features], the condition holds, bool [n]."""
        if self.name in FIELDS:
            values = fields(self.name)
            return np.fromiter(map(frozenset(self.one_of).__contains__, values), np.bool_, len(values))
        feature = features[:, column(self.name)]
        with np.errstate(invalid="ignore"):
            holds = ~np.isnan(feature)
            if self.at_least is not None:
                holds &= feature >= self.at_least
            if self.below is not None:
                holds &= feature < self.below
        return holds


class OverlayRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """If all conditions hold, the decision is at least as strict as `action`, and has `reason`.

    Where the channel has no challenge, a rule that asks for one has no effect, or declines if `else_decline` is true.
    """

    reason: RuleReason
    action: Action
    when: Annotated[tuple[RuleCondition, ...], Meta(min_length=1)]
    else_decline: bool = False

    def __post_init__(self) -> None:
        """Raise `ValueError` for a rule that could have no effect."""
        if self.action is Action.APPROVE:
            raise ValueError(
                f"{self.reason}: a rule challenges or declines; it cannot approve what the model would not"
            )
        if self.else_decline and self.action is not Action.CHALLENGE:
            raise ValueError(f"{self.reason}: else_decline is for rules whose action is challenge")

    def holds_for(self, features: NDArray[np.float32], fields: FieldColumns) -> NDArray[np.bool_]:
        """Return for which of n rows all conditions hold, bool [n]."""
        holds = np.ones(len(features), np.bool_)
        for condition in self.when:
            holds &= condition.holds_for(features, fields)
        return holds


class Overlay(Struct, frozen=True):
    """Result of the rules for one transaction: the strictest action, and the reasons of all rules that hold."""

    action: Action
    reasons: list[str]


def evaluate_rules(
    rules: Sequence[OverlayRule],
    features: NDArray[np.float32],
    transactions: Sequence[Transaction],
    challenge_channels: Sequence[Channel],
) -> dict[int, Overlay]:
    """Return the overlays of the rows for which a rule holds and has an effect, by their position."""
    overlays: dict[int, Overlay] = {}
    for reason, action, rows in _effects(rules, features, fields_of(transactions), challenge_channels):
        for row in rows.tolist():
            before = overlays.get(row)
            if before is None:
                overlays[row] = Overlay(action, [reason])
            else:
                overlays[row] = Overlay(stricter(before.action, action), [*before.reasons, reason])
    return overlays


def strictest_actions(
    rules: Sequence[OverlayRule],
    features: NDArray[np.float32],
    fields: FieldColumns,
    challenge_channels: Sequence[Channel],
) -> NDArray[np.int8]:
    """Return the strictest action that rules ask for in each of n rows, int8 [n], by its place in `ACTIONS`.

    It is 0, the place of an approval, where no rule holds and has an effect.
    """
    strictest = np.zeros(len(features), np.int8)
    for _, action, rows in _effects(rules, features, fields, challenge_channels):
        strictest[rows] = np.maximum(strictest[rows], _STRICTNESS[action])
    return strictest


def name_features(rules: Sequence[OverlayRule]) -> bool:
    """Return whether a condition of these rules is about a feature."""
    return any(condition.name not in FIELDS for rule in rules for condition in rule.when)


def fields_of(transactions: Sequence[Transaction]) -> FieldColumns:
    """Return the fields of these transactions."""

    def values_of(name: str) -> list[str | None]:
        values = (getattr(transaction, name) for transaction in transactions)
        return [value.value if isinstance(value, Channel) else value for value in values]

    return values_of


def _effects(
    rules: Sequence[OverlayRule],
    features: NDArray[np.float32],
    fields: FieldColumns,
    challenge_channels: Sequence[Channel],
) -> Iterator[tuple[str, Action, NDArray[np.int64]]]:
    """Yield reason and action of each rule with the rows for which it holds and has this action."""
    for rule in rules:
        holds = rule.holds_for(features, fields)
        if rule.action is not Action.CHALLENGE:
            yield rule.reason, rule.action, np.flatnonzero(holds)
            continue
        channels, with_challenge = fields("channel"), {channel.value for channel in challenge_channels}
        can_challenge = np.fromiter(map(with_challenge.__contains__, channels), np.bool_, len(channels))
        yield rule.reason, Action.CHALLENGE, np.flatnonzero(holds & can_challenge)
        if rule.else_decline:
            yield rule.reason, Action.DECLINE, np.flatnonzero(holds & ~can_challenge)


_STRICTNESS: Final = {Action.APPROVE: 0, Action.CHALLENGE: 1, Action.DECLINE: 2}


def stricter(one: Action, other: Action) -> Action:
    """Return the stricter of two actions.

    >>> stricter(Action.CHALLENGE, Action.APPROVE).value
    'challenge'
    """
    return max(one, other, key=_STRICTNESS.__getitem__)
