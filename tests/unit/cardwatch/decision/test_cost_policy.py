"""The decision policy, by arithmetic on its costs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import CHANNELS, ChannelShares, DecisionPolicy, channels_of, incurred_cost_minor
from cardwatch.events import Action, Channel
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURES, column
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.warm_up import EXAMPLE

POLICY = DecisionPolicy(challenge_cost_minor=100, challenge_stops_fraud=0.9, decline_cost_minor=500, lost_margin=0.05)


def decided(policy: DecisionPolicy, channel: Channel, probability: float, amount_minor: float) -> Action:
    [action] = policy.decide(np.array([probability]), np.array([amount_minor]), codes(channel))
    return action


def codes(*channels: Channel) -> NDArray[np.int64]:
    return np.array([CHANNELS.index(channel) for channel in channels], np.int64)


@pytest.mark.parametrize(
    ("probability", "amount_minor", "action"),
    [
        (0.0, 100_000, Action.APPROVE),  # 0 against 100
        (0.5, 200, Action.CHALLENGE),  # 100 against 10 + 50 = 60
        (0.01, 10_000, Action.APPROVE),  # 100 against 10 + 99 = 109
        (0.02, 10_000, Action.CHALLENGE),  # 200 against 20 + 98 = 118
        (0.9, 10_000, Action.DECLINE),  # challenge 900 + 10 = 910; decline 0.1 * (500 + 500) = 100
        (1.0, 10_000, Action.DECLINE),
    ],
)
def test_the_cheapest_action_in_expectation_is_taken(probability: float, amount_minor: int, action: Action) -> None:
    assert decided(POLICY, Channel.ECOMMERCE, probability, amount_minor) is action


@pytest.mark.parametrize("channel", [channel for channel in Channel if channel is not Channel.ECOMMERCE])
def test_where_no_challenge_is_feasible_the_cheaper_of_the_others_is_taken(channel: Channel) -> None:
    assert decided(POLICY, channel, 0.02, 10_000) is Action.APPROVE  # 200 against 0.98 * 1000
    assert decided(POLICY, channel, 0.09, 10_000) is Action.APPROVE  # 900 against 0.91 * 1000 = 910
    assert decided(POLICY, channel, 0.10, 10_000) is Action.DECLINE  # 1000 against 0.9 * 1000 = 900


def test_the_policy_names_the_channels_with_a_challenge() -> None:
    policy = structs.replace(POLICY, challenge_channels=(Channel.CONTACTLESS,))
    assert decided(policy, Channel.CONTACTLESS, 0.02, 10_000) is Action.CHALLENGE
    assert decided(policy, Channel.ECOMMERCE, 0.02, 10_000) is Action.APPROVE


def test_fraud_that_a_merchant_pays_is_worth_fewer_alerts() -> None:
    policy = structs.replace(POLICY, liability=ChannelShares(ecommerce=0.2, swipe=0.0))
    # Approving costs 0.2 * 10000 * p. A challenge moves the loss of what passes it to us: 0.1 * 10000 * p.
    assert decided(policy, Channel.ECOMMERCE, 0.05, 10_000) is Action.APPROVE  # 100 against 50 + 95
    assert decided(policy, Channel.ECOMMERCE, 0.10, 10_000) is Action.CHALLENGE  # 200 against 100 + 90
    assert decided(policy, Channel.SWIPE, 0.999, 10_000) is Action.APPROVE  # 0 against 1


def test_a_chargeback_is_paid_for_approved_fraud_only() -> None:
    policy = structs.replace(POLICY, chargeback_fee_minor=2_000)
    costs = policy.expected_costs(np.array([0.5]), np.array([1_000.0]), codes(Channel.ECOMMERCE))
    # 0.5 * (1000 + 2000); 0.5 * 0.1 * 1000 + 0.5 * 100; 0.5 * (500 + 50).
    np.testing.assert_allclose(costs, [[1_500.0, 100.0, 275.0]])


def test_an_alert_costs_its_handling_and_its_price_whatever_it_turns_out_to_be() -> None:
    policy = structs.replace(POLICY, alert_cost_minor=30, alert_price_minor=12)
    costs = policy.expected_costs(np.array([0.0, 1.0]), np.array([1_000.0] * 2), codes(Channel.ECOMMERCE, Channel.ATM))
    # Genuine: nothing; 100 + 42; 500 + 50 + 42. Fraud at a cash machine: all of it; no challenge; 42.
    np.testing.assert_allclose(costs, [[0.0, 142.0, 592.0], [1_000.0, np.inf, 42.0]])


def test_on_equal_expected_costs_the_milder_action_is_taken() -> None:
    free = DecisionPolicy(challenge_cost_minor=0, decline_cost_minor=0, lost_margin=0)
    assert decided(free, Channel.ECOMMERCE, 0.0, 100.0) is Action.APPROVE


def test_what_actions_cost_in_hindsight() -> None:
    # A fraud let through costs its 10000; a genuine one challenged 100; a genuine one declined 500 + 500.
    cost = incurred_cost_minor(
        POLICY,
        [Action.APPROVE, Action.CHALLENGE, Action.DECLINE],
        np.array([True, False, False]),
        np.array([10_000.0, 10_000.0, 10_000.0]),
        codes(*[Channel.ECOMMERCE] * 3),
    )
    assert cost == pytest.approx(10_000 + 100 + 1_000)


@pytest.mark.parametrize("channel", list(Channel))
def test_the_channel_of_a_feature_row_is_that_of_its_transaction(channel: Channel) -> None:
    payment = structs.replace(EXAMPLE, channel=channel)
    rows = fold(empty_states(1), np.zeros(1, np.int64), encode([payment]), ReferenceTable.empty())
    assert CHANNELS[channels_of(rows.features)[0]] is channel


def test_amounts_are_compared_in_the_currency_of_the_policy() -> None:
    policy = DecisionPolicy(currency="EUR", rates={"JPY": 0.6})
    assert [policy.rate_of(currency) for currency in ("EUR", "JPY", "USD")] == [1.0, 0.6, None]
    assert DecisionPolicy().rate_of("USD") == 1.0  # a policy without a currency takes amounts as they are


def row(channel: Channel = Channel.ECOMMERCE, **values: float) -> np.ndarray:
    features = np.full((1, len(FEATURES)), np.nan, np.float32)
    features[0, column("is_chip") : column("is_recurring") + 1] = 0.0
    for name, value in {f"is_{channel.value}": 1.0, **values}.items():
        features[0, column(name)] = value
    return features


@pytest.mark.parametrize(
    ("features", "reasons"),
    [
        (row(), []),
        (row(speed_from_last_kmh=2_000, distance_from_last_km=900), ["RULE_SPEED"]),
        (row(speed_from_last_kmh=2_000, distance_from_last_km=5), []),
        (row(count_1h=8), ["RULE_VELOCITY"]),
        (row(small_count_1h=2, count_1h=8), ["RULE_VELOCITY", "RULE_CARD_TESTING"]),
        (row(amount=1_500, amount_to_max=4), ["RULE_AMOUNT"]),
        (row(amount=1_500), []),
        (row(device_frauds=1), ["RULE_DEVICE"]),
        (row(merchant_is_new=1, merchant_risk_recent=20), ["RULE_MERCHANT"]),
        (row(merchant_is_new=0, merchant_risk_recent=20), []),
        (row(merchant_is_new=1, device_is_new=1, country_is_new=1), ["RULE_ALL_NEW"]),
        (row(merchant_is_new=1, device_is_new=1, country_is_new=0), []),
        (row(Channel.ATM, count_1h=8), []),
    ],
)
def test_rules_challenge_for_their_reasons_and_pass_what_is_missing(features: np.ndarray, reasons: list[str]) -> None:
    actions, given = POLICY.decide_by_rules(features)
    assert given == [reasons]
    assert actions == [Action.CHALLENGE if reasons else Action.APPROVE]


def test_the_rule_about_what_is_new_can_be_turned_off() -> None:
    policy = structs.replace(POLICY, rule_all_new=False)
    assert policy.decide_by_rules(row(merchant_is_new=1, device_is_new=1, country_is_new=1))[1] == [[]]


def test_the_version_is_that_of_the_values() -> None:
    assert POLICY.version == structs.replace(POLICY).version
    assert POLICY.version != structs.replace(POLICY, lost_margin=0.06).version
    rates = {"USD": 0.9, "GBP": 1.1}
    in_another_order = dict(reversed(rates.items()))
    assert DecisionPolicy(rates=rates).version == DecisionPolicy(rates=in_another_order).version


def test_a_policy_that_has_decided_has_the_version_and_the_file_form_of_before() -> None:
    policy = structs.replace(POLICY)
    before = policy.version
    decided(policy, Channel.CHIP, 0.1, 100.0)
    assert policy.version == before
    assert "costs" not in msgspec.to_builtins(policy)
