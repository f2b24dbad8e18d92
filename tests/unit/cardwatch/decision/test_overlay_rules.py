"""Rules of the policy file over the model: what holds, what is refused, and that the strictest action wins."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from cardwatch.decision.overlay_rules import OverlayRule, RuleCondition, evaluate_rules
from cardwatch.events import Action, Channel, Transaction
from cardwatch.features.definitions import FEATURES, column
from cardwatch.warm_up import EXAMPLE

ONLINE = (Channel.ECOMMERCE,)


def rule(action: Action, *when: RuleCondition, reason: str = "POLICY_TEST", else_decline: bool = False) -> OverlayRule:
    return OverlayRule(reason=reason, action=action, when=when, else_decline=else_decline)


def overlays(rules: list[OverlayRule], amount: float, **changes: Any) -> dict[int, tuple[Action, list[str]]]:
    transaction: Transaction = structs.replace(EXAMPLE, channel=Channel.ECOMMERCE, **changes)
    features = np.full((1, len(FEATURES)), np.nan, np.float32)
    features[0, column("amount")] = amount
    found = evaluate_rules(rules, features, [transaction], ONLINE)
    return {row: (overlay.action, overlay.reasons) for row, overlay in found.items()}


COUNTRY = RuleCondition(name="country", one_of=("KP", "IR"))
LARGE = RuleCondition(name="amount", at_least=500.0)


def test_a_blocked_country_is_declined() -> None:
    assert overlays([rule(Action.DECLINE, COUNTRY)], 1.0, country="IR") == {0: (Action.DECLINE, ["POLICY_TEST"])}
    assert overlays([rule(Action.DECLINE, COUNTRY)], 1.0, country="DE") == {}


def test_a_bound_includes_its_lower_end_and_excludes_its_upper_one() -> None:
    between = rule(Action.CHALLENGE, RuleCondition(name="amount", at_least=500.0, below=600.0))
    assert [bool(overlays([between], amount)) for amount in (499.0, 500.0, 599.0, 600.0)] == [False, True, True, False]


def test_all_conditions_must_hold_and_what_is_missing_does_not() -> None:
    both = rule(Action.CHALLENGE, COUNTRY, LARGE)
    assert overlays([both], 700.0, country="KP")
    assert not overlays([both], 700.0, country="DE")
    assert not overlays([both], float("nan"), country="KP")
    of_range = rule(Action.DECLINE, RuleCondition(name="card_range", one_of=("r-1",)))
    assert not overlays([of_range], 1.0)


def test_of_several_rules_the_strictest_wins_and_all_reasons_are_kept() -> None:
    rules = [
        rule(Action.DECLINE, COUNTRY, reason="POLICY_COUNTRY"),
        rule(Action.CHALLENGE, LARGE, reason="POLICY_LARGE"),
    ]
    expected = {0: (Action.DECLINE, ["POLICY_COUNTRY", "POLICY_LARGE"])}
    assert overlays(rules, 700.0, country="KP") == expected


def test_a_challenge_that_the_channel_does_not_have_has_no_effect_or_declines() -> None:
    for else_decline, expected in ((False, {}), (True, {0: (Action.DECLINE, ["POLICY_TEST"])})):
        found = rule(Action.CHALLENGE, LARGE, else_decline=else_decline)
        features = np.full((1, len(FEATURES)), 700.0, np.float32)
        at_atm = evaluate_rules([found], features, [structs.replace(EXAMPLE, channel=Channel.ATM)], ONLINE)
        assert {row: (overlay.action, overlay.reasons) for row, overlay in at_atm.items()} == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"reason": "COUNTRY"}, "POLICY_"),
        ({"reason": "POLICY_X\n"}, "regex"),
        ({"action": "approve"}, "cannot approve"),
        ({"when": []}, "length >= 1"),
        ({"action": "decline", "else_decline": True}, "else_decline"),
        ({"when": [{"name": "amont", "below": 5}]}, "'amont' is neither a feature"),
        ({"when": [{"name": "amount"}]}, "needs at_least or below"),
        ({"when": [{"name": "amount", "one_of": ["5"]}]}, "has no one_of"),
        ({"when": [{"name": "amount", "at_least": 5, "below": 5}]}, "no value is at least 5 and below 5"),
        ({"when": [{"name": "amount", "below": float("inf")}]}, "finite"),
        ({"when": [{"name": "country", "below": 5}]}, "needs one_of"),
        ({"when": [{"name": "country"}]}, "needs one_of"),
        ({"when": [{"name": "country", "one_of": ["Germany"]}]}, "'Germany' is no value of this field"),
        ({"when": [{"name": "channel", "one_of": ["web"]}]}, "'web' is no value"),
        ({"when": [{"name": "merchant_category", "one_of": ["gambling"]}]}, "'gambling' is no value"),
        ({"when": [{"name": "country", "is": "KP"}]}, "unknown field `is`"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_with_its_reason(content: dict[str, Any], message: str) -> None:
    whole = {"reason": "POLICY_X", "action": "challenge", "when": [{"name": "amount", "below": 5}]} | content
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(whole, OverlayRule)
