"""The values that a reason rests on are those that its conditions and rules name."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from cardwatch.audit.reason_basis import ReasonSource, reason_basis
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.degraded_rules import DEGRADED_RULES
from cardwatch.decision.overlay_rules import OverlayRule, RuleCondition
from cardwatch.events import Action, Channel, Transaction
from cardwatch.features.definitions import FEATURES, column
from cardwatch.features.reason_codes import REASON_CODES, true_codes

PAYMENT = Transaction(
    transaction_id="t-1",
    card_id="c-1",
    merchant_id="m-1",
    occurred_at=datetime(2025, 3, 1, tzinfo=UTC),
    amount_minor=1_000,
    currency="EUR",
    merchant_category="5411",
    channel=Channel.ATM,
    country="DE",
)


def row_of(**values: float) -> NDArray[np.float32]:
    row = np.full(len(FEATURES), np.nan, np.float32)
    for name, value in values.items():
        row[column(name)] = value
    return row


def shares_of(**values: float) -> NDArray[np.float64]:
    shares = np.zeros(len(FEATURES))
    for name, value in values.items():
        shares[column(name)] = value
    return shares


def test_a_code_of_the_model_shows_the_conditions_that_hold_and_what_raises_the_margin_most() -> None:
    """Of VELOCITY, `count_1h` ≥ 3 holds and `count_24h` ≥ 8 does not; of its features three raise the margin."""
    basis = reason_basis(
        "VELOCITY",
        row_of(count_1h=4, count_24h=5, count_7d=9, amount_1h=120.5),
        contributions=shares_of(count_1h=0.5, amount_1h=1.5, count_7d=0.75, count_30d=-1.0, amount=2.0),
        policy=None,
        payment=None,
    )
    assert basis.source is ReasonSource.MODEL
    assert [(each.name, each.value, each.condition, each.contribution) for each in basis.values] == [
        ("count_1h", 4.0, "≥ 3", 0.5),
        ("amount_1h", 120.5, "", 1.5),
        ("count_7d", 9.0, "", 0.75),
    ]


def test_conditions_of_alternatives_that_do_not_hold_are_left_out_and_each_bound_is_shown_once() -> None:
    row = row_of(amount_to_mean=4.0, amount_to_mean_30d=3.5, amount_to_max=1.0, history_length=12)
    basis = reason_basis("AMOUNT_UNUSUAL", row, contributions=None, policy=None, payment=None)
    assert [(each.name, each.condition) for each in basis.values] == [
        ("amount_to_mean", "≥ 3"),
        ("history_length", "≥ 5"),
        ("amount_to_mean_30d", "≥ 3"),
    ]


def test_the_neutral_code_shows_the_largest_contributions_of_all_features() -> None:
    shares = shares_of(amount=0.25, count_1h=1.0, hour_of_day=-3.0, device_age=0.5, gap_to_mean=0.125)
    basis = reason_basis("COMBINATION", row_of(amount=9.5), contributions=shares, policy=None, payment=None)
    assert [each.name for each in basis.values] == ["count_1h", "device_age", "amount"]
    assert [each.value for each in basis.values] == [None, None, 9.5]


@pytest.mark.parametrize("code", [each.code for each in REASON_CODES])
def test_every_code_that_is_true_of_a_row_rests_on_values_that_meet_their_bounds(code: str) -> None:
    """Rows at random, until the code is true of 20 of them; the bounds are read back from their text."""
    random = np.random.default_rng(3)
    found = 0
    while found < 20:
        row = np.where(
            random.random(len(FEATURES)) < 0.3,
            np.nan,
            random.choice([0.0, 0.04, 1.0, 2.0, 4.0, 25.0, 950.0], len(FEATURES)),
        ).astype(np.float32)
        if code not in true_codes(row[None])[0]:
            continue
        found += 1
        values = reason_basis(code, row, contributions=None, policy=None, payment=None).values
        assert values
        for each in values:
            assert isinstance(each.value, float)
            for bound in each.condition.split(" and "):
                sign, _, limit = bound.partition(" ")
                if bound != "known":
                    limits = np.float32(limit.replace(",", ""))
                    assert each.value >= limits if sign == "≥" else each.value <= limits


def test_a_degraded_rule_shows_its_terms_with_the_limits_of_the_policy() -> None:
    policy = DecisionPolicy(rule_speed_kmh=800.0)
    basis = reason_basis(
        "RULE_SPEED",
        row_of(speed_from_last_kmh=1_250, distance_from_last_km=700),
        contributions=None,
        policy=policy,
        payment=None,
    )
    assert basis.source is ReasonSource.DEGRADED_RULE
    assert [(each.name, each.value, each.condition) for each in basis.values] == [
        ("speed_from_last_kmh", 1_250.0, "> 800"),
        ("distance_from_last_km", 700.0, "> 500"),
    ]


@pytest.mark.parametrize("code", DEGRADED_RULES)
def test_a_degraded_rule_fires_where_all_of_its_terms_hold(code: str) -> None:
    """The policy's own evaluation of the rules, against the terms that are shown."""
    random = np.random.default_rng(4)
    policy, shape = DecisionPolicy(), (3_000, len(FEATURES))
    rows = random.choice([np.nan, 0.0, 1.0, 2.0, 4.0, 9.0, 30.0, 600.0, 1_200.0], shape).astype(np.float32)
    rows[:, column("is_ecommerce")] = 1.0  # the only channel with a challenge
    rows[:, [column(f"is_{channel.value}") for channel in Channel if channel is not Channel.ECOMMERCE]] = 0.0
    holds = np.ones(len(rows), np.bool_)
    for term, limit in policy.degraded_rule(code):
        values = rows[:, column(term.feature)]
        holds &= {">": values > limit, "≥": values >= limit, "=": values == limit}[term.sign]
    _, reasons = policy.decide_by_rules(rows)
    assert [code in of_row for of_row in reasons] == holds.tolist()
    assert 0 < holds.sum() < len(rows)


def test_a_rule_of_the_policy_shows_fields_of_the_payment_and_features() -> None:
    rule = OverlayRule(
        reason="POLICY_CASH",
        action=Action.DECLINE,
        when=(
            RuleCondition(name="channel", one_of=("atm", "chip")),
            RuleCondition(name="amount", at_least=5.0, below=1_500.0),
        ),
    )
    basis = reason_basis(
        "POLICY_CASH", row_of(amount=10), contributions=None, policy=DecisionPolicy(rules=(rule,)), payment=PAYMENT
    )
    assert basis.source is ReasonSource.POLICY_RULE
    assert [(each.name, each.value, each.condition) for each in basis.values] == [
        ("channel", "atm", "one of atm, chip"),
        ("amount", 10.0, "≥ 5 and < 1,500"),
    ]


@pytest.mark.parametrize("code", ["POLICY_CASH", "RULE_SPEED", "NEVER_HEARD_OF"])
def test_a_reason_without_a_known_policy_or_meaning_has_no_values(code: str) -> None:
    assert reason_basis(code, row_of(), contributions=None, policy=None, payment=None).values == []
