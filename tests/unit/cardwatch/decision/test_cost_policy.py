"""The decision policy, by arithmetic on its default costs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from cardwatch.decision.cost_policy import DecisionPolicy, incurred_cost_minor
from cardwatch.events import Action
from cardwatch.features.definitions import FEATURES, column

POLICY = DecisionPolicy(challenge_cost_minor=100, challenge_stops_fraud=0.9, decline_cost_minor=500, lost_margin=0.05)


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
    assert POLICY.decide(np.array([probability]), np.array([float(amount_minor)])) == [action]


def test_on_equal_expected_costs_the_milder_action_is_taken() -> None:
    free = DecisionPolicy(challenge_cost_minor=0, decline_cost_minor=0, lost_margin=0)
    assert free.decide(np.array([0.0]), np.array([100.0])) == [Action.APPROVE]


def test_what_actions_cost_in_hindsight() -> None:
    # A fraud let through costs its 10000; a genuine one challenged 100; a genuine one declined 500 + 500.
    cost = incurred_cost_minor(
        POLICY,
        [Action.APPROVE, Action.CHALLENGE, Action.DECLINE],
        np.array([True, False, False]),
        np.array([10_000.0, 10_000.0, 10_000.0]),
    )
    assert cost == pytest.approx(10_000 + 100 + 1_000)


def row(**values: float) -> np.ndarray:
    features = np.full((1, len(FEATURES)), np.nan, np.float32)
    for name, value in values.items():
        features[0, column(name)] = value
    return features


@pytest.mark.parametrize(
    ("features", "reasons"),
    [
        (row(), []),
        (row(speed_from_last_kmh=2_000, distance_from_last_km=900), ["RULE_SPEED"]),
        (row(speed_from_last_kmh=2_000, distance_from_last_km=5), []),
        (row(count_1h=8), ["RULE_VELOCITY"]),
        (row(small_count_1h=3, count_1h=8), ["RULE_VELOCITY", "RULE_CARD_TESTING"]),
        (row(amount=1_500, amount_to_max=4), ["RULE_AMOUNT"]),
        (row(amount=1_500), []),
    ],
)
def test_rules_challenge_for_their_reasons_and_pass_what_is_missing(features: np.ndarray, reasons: list[str]) -> None:
    actions, given = POLICY.decide_by_rules(features)
    assert given == [reasons]
    assert actions == [Action.CHALLENGE if reasons else Action.APPROVE]


def test_the_version_is_that_of_the_values() -> None:
    assert POLICY.version == msgspec.structs.replace(POLICY).version
    assert POLICY.version != msgspec.structs.replace(POLICY, lost_margin=0.06).version
