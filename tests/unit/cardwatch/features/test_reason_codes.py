"""Every reason code by hand: a row of which it is true, and one of which it is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.detector.detector import strongest_reasons
from cardwatch.features.definitions import FEATURES, REASONS, column
from cardwatch.features.reason_codes import (
    NEUTRAL_CODE,
    REASON_CODES,
    REASON_TEXTS,
    SUPPORTING_CODES,
    features_with_true_code,
    true_codes,
)
from cardwatch.features.reason_conditions import at_least, at_most

Values = dict[str, float]


def row(values: Values) -> NDArray[np.float32]:
    """A feature row, float32 [1, features], with these values, in which all others are missing."""
    features = np.full((1, len(FEATURES)), np.nan, np.float32)
    for name, value in values.items():
        features[0, column(name)] = value
    return features


KNOWN_CARD: Values = {"history_length": 50, "history_days": 30}

TRUE_AND_FALSE: list[tuple[str, Values, Values]] = [
    ("AMOUNT", {"amount": 0}, {"amount_to_mean": 2}),
    ("AMOUNT_UNUSUAL", {"amount_to_mean": 3, "history_length": 5}, {"amount_to_mean": 3, "history_length": 4}),
    ("AMOUNT_UNUSUAL", KNOWN_CARD | {"amount_to_mean": 0.1}, KNOWN_CARD | {"amount_to_mean": 0.11}),
    ("AMOUNT_UNUSUAL", KNOWN_CARD | {"amount_to_mean_30d": 4}, KNOWN_CARD | {"amount_to_mean_30d": 2.9}),
    ("AMOUNT_UNUSUAL", KNOWN_CARD | {"amount_to_mean_30d": 0}, KNOWN_CARD | {"amount_to_mean_30d": 1}),
    ("AMOUNT_UNUSUAL", KNOWN_CARD | {"amount_zscore": 3}, KNOWN_CARD | {"amount_zscore": -3}),
    ("AMOUNT_UNUSUAL", KNOWN_CARD | {"amount_to_max": 1.5}, KNOWN_CARD | {"amount_to_max": 1}),
    (
        "AMOUNT_UNUSUAL",
        {"amount_to_merchant_mean": 3, "merchant_count_30d": 0.5},
        {"amount_to_merchant_mean": 3, "merchant_count_30d": 0.25},
    ),
    (
        "AMOUNT_UNUSUAL",
        {"amount_to_merchant_mean": 0.05, "merchant_count_30d": 9},
        {"amount_to_merchant_mean": 0.5, "merchant_count_30d": 9},
    ),
    ("AMOUNT_ROUND", {"amount_zeros": 2, "amount_is_whole": 1}, {"amount_zeros": 1, "amount_is_whole": 0}),
    ("AMOUNT_ROUND", {"amount_zeros": 4}, {"amount_zeros": 0, "amount": 0, "amount_is_whole": 1}),
    ("VELOCITY", {"count_1h": 3}, {"count_1h": 2, "count_24h": 7, "count_30d": 200}),
    ("VELOCITY", {"count_24h": 8}, KNOWN_CARD | {"count_24h": 2, "count_24h_to_7d": 1}),
    (
        "VELOCITY",
        {"count_24h": 3, "count_24h_to_7d": 0.5, "history_days": 7},
        {"count_24h": 3, "count_24h_to_7d": 1, "history_days": 6.9},
    ),
    (
        "VELOCITY",
        {"count_24h": 3, "amount_24h_to_30d": 0.5, "history_days": 30},
        {"count_24h": 3, "amount_24h_to_30d": 1, "history_days": 29},
    ),
    ("VELOCITY_REMOTE", {"remote_count_24h": 3}, {"remote_count_24h": 2, "remote_amount_24h": 900}),
    ("VELOCITY_CASH", {"cash_count_24h": 2, "is_atm": 0}, {"cash_count_24h": 1, "is_atm": 0}),
    ("VELOCITY_CASH", {"cash_count_24h": 1, "is_atm": 1}, {"cash_count_24h": 0, "is_atm": 1}),
    ("VELOCITY_PRESENT", {"present_count_24h": 6}, {"present_count_24h": 5, "present_amount_24h": 900}),
    ("CARD_TESTING", {"seconds_since_small": 86_400}, {"seconds_since_small": 86_401, "amount_to_previous": 90}),
    ("CARD_TESTING", {"seconds_since_small": 0.5}, {"seconds_since_small": 0}),  # 0: late, maybe before the small one
    ("EARLIER_DECLINES", {"previous_declined": 1}, {"previous_declined": 0}),
    ("EARLIER_DECLINES", {"seconds_since_declined": 604_800}, {"seconds_since_declined": 604_801}),
    ("TIME", {"hour_of_day": 0}, {"hour_habit": 0.2}),
    ("TIME_UNUSUAL", KNOWN_CARD | {"hour_habit": 0.05}, KNOWN_CARD | {"hour_habit": 0.06}),
    ("TIME_UNUSUAL", KNOWN_CARD | {"weekday_habit": 0}, {"history_length": 19, "weekday_habit": 0}),
    ("TIME_UNUSUAL", KNOWN_CARD | {"gap_to_mean": 5}, KNOWN_CARD | {"gap_to_mean": 0.001}),
    ("PLACE", {"distance_from_last_km": 100}, {"distance_from_last_km": 99, "distance_from_usual_km": 99}),
    ("PLACE", {"distance_from_usual_km": 100}, {"country_is_new": 1}),
    (
        "PLACE_IMPOSSIBLE",
        {"speed_from_last_kmh": 900, "distance_from_last_km": 100},
        {"speed_from_last_kmh": 899, "distance_from_last_km": 5_000},
    ),
    (
        "PLACE_IMPOSSIBLE",
        {"speed_from_last_kmh": 30_000, "distance_from_last_km": 500},
        {"speed_from_last_kmh": 3_000, "distance_from_last_km": 50},  # within the minute that a speed is measured over
    ),
    ("NEW_MERCHANT", {"merchant_is_new": 1}, {"merchant_is_new": 0, "days_since_merchant": 400}),
    ("NEW_MERCHANT", {"new_merchant_count_24h": 3}, {"new_merchant_count_24h": 2}),
    ("NEW_CATEGORY", {"category_is_new": 1}, {"category_is_new": 0, "days_since_category": 90}),
    ("NEW_COUNTRY", {"country_is_new": 1}, {"country_is_new": 0, "days_since_country": 90}),
    ("NEW_DEVICE", {"device_is_new": 1}, {"device_is_new": 0, "days_since_device": 90}),
    ("CHANNEL", {"is_chip": 0}, {"channel_habit": 0.5}),
    ("CHANNEL_UNUSUAL", KNOWN_CARD | {"channel_habit": 0.05}, KNOWN_CARD | {"channel_habit": 0.06}),
    ("CHANNEL_UNUSUAL", {"history_length": 20, "channel_habit": 0}, {"history_length": 19, "channel_habit": 0}),
    ("CATEGORY", {"merchant_category": 5411}, {"category_is_new": 1}),
    ("HISTORY", {"history_length": 19}, {"history_length": 20, "history_days": 8}),
    ("HISTORY", {"history_length": 50, "history_days": 7}, KNOWN_CARD),
    ("MERCHANT_RISK", {"merchant_days_since_fraud": 35}, {"merchant_risk_30d": 1, "merchant_fraud_cards": 0}),
    ("MERCHANT_ACTIVITY", {"merchant_count_30d": 1}, {"merchant_count_30d": 2, "merchant_count_1d": 8}),
    (
        "MERCHANT_ACTIVITY",
        {"merchant_count_30d": 3, "merchant_count_1d": 9},
        {"merchant_count_30d": 100, "merchant_count_1d": 120},
    ),
    ("EXPOSURE", {"exposure": 3, "exposed_merchants": 1}, {"exposure": 2.9, "exposed_merchants": 2}),
    ("SHARED_DEVICE", {"device_cards": 2}, {"device_cards": 1, "device_count_1d": 40}),
    ("DEVICE_RISK", {"device_frauds": 1}, {"device_frauds": 0}),
    ("DEVICE_AGE", {"device_age": 7}, {"device_age": 8}),
]


@pytest.mark.parametrize(("code", "true", "false"), TRUE_AND_FALSE)
def test_a_code_is_given_where_it_is_true_and_not_where_it_is_false(code: str, true: Values, false: Values) -> None:
    raised = np.zeros((1, len(FEATURES)))
    raised[0, REASONS.index(code)] = 1.0
    for values, is_true in ((true, True), (false, False)):
        [found] = true_codes(row(values))
        assert (code in found) is is_true, values
        [given] = strongest_reasons(row(values), raised)
        expected = [code, NEUTRAL_CODE] if code in SUPPORTING_CODES else [code]
        assert given == (expected if is_true else [NEUTRAL_CODE]), values


@pytest.mark.rubric("data-4")
def test_every_code_of_the_features_has_conditions_a_text_and_examples() -> None:
    codes = [each.code for each in REASON_CODES]
    assert codes == list(dict.fromkeys(REASONS))
    assert {code for code, _, _ in TRUE_AND_FALSE} == set(codes)
    rules = {"RULE_SPEED", "RULE_VELOCITY", "RULE_CARD_TESTING", "RULE_AMOUNT"}
    rules |= {"RULE_DEVICE", "RULE_MERCHANT", "RULE_ALL_NEW"}
    assert set(REASON_TEXTS) == {*codes, NEUTRAL_CODE, *rules}
    assert all(REASON_TEXTS.values())
    assert set(codes) > SUPPORTING_CODES


def test_a_feature_is_as_true_as_its_code() -> None:
    features = np.concatenate([row({"device_is_new": 1, "days_since_merchant": 3}), row({"amount": 5})])
    found = features_with_true_code(features)
    for position, feature in enumerate(FEATURES):
        assert found[:, position].tolist() == [feature.reason == "NEW_DEVICE", feature.reason == "AMOUNT"]


def test_missing_values_make_no_code_true() -> None:
    assert true_codes(row({})) == [set()]
    assert true_codes(np.empty((0, len(FEATURES)), np.float32)) == []


def test_infinite_values_are_compared_as_numbers() -> None:
    assert true_codes(row({"distance_from_last_km": np.inf})) == [{"PLACE"}]


def test_conditions_say_what_they_compare() -> None:
    assert str(at_least("count_1h", 3)) == "`count_1h` ≥ 3"
    assert str(at_most("hour_habit", 0.05)) == "`hour_habit` ≤ 0.05"


def test_what_the_rules_challenge_by_the_speed_is_an_impossible_place_too() -> None:
    """The rule's limits are higher, so that no recorded RULE_SPEED contradicts the model's code."""
    policy = DecisionPolicy()
    fast = row(
        {
            "is_ecommerce": 1,
            "speed_from_last_kmh": policy.rule_speed_kmh + 1,
            "distance_from_last_km": policy.rule_distance_km + 1,
        }
    )
    assert policy.decide_by_rules(fast)[1] == [["RULE_SPEED"]]
    assert "PLACE_IMPOSSIBLE" in true_codes(fast)[0]


STRONG_FIRST = [
    # the supporting codes weigh most, and a code that says something about the payment takes the last place
    (("amount", "hour_of_day", "is_chip", "device_is_new"), ["AMOUNT", "TIME", "NEW_DEVICE"]),
    (("amount", "hour_of_day", "device_is_new", "is_chip"), ["AMOUNT", "TIME", "NEW_DEVICE"]),
    (("device_is_new", "amount", "hour_of_day", "is_chip"), ["NEW_DEVICE", "AMOUNT", "TIME"]),
    # nothing else is true: the neutral code takes it
    (("amount", "hour_of_day", "is_chip", "merchant_category"), ["AMOUNT", "TIME", NEUTRAL_CODE]),
    (("amount", "country_is_new"), ["AMOUNT", NEUTRAL_CODE]),
    (("country_is_new",), [NEUTRAL_CODE]),
    ((), [NEUTRAL_CODE]),
]


@pytest.mark.parametrize(("strongest", "expected"), STRONG_FIRST)
def test_codes_come_in_the_order_of_their_contributions_and_supporting_ones_are_never_alone(
    strongest: tuple[str, ...], expected: list[str]
) -> None:
    of_row = row(
        {"amount": 9, "hour_of_day": 3, "is_chip": 1, "merchant_category": 1, "device_is_new": 1, "country_is_new": 0}
    )
    contributions = np.full((1, len(FEATURES)), -0.5)
    contributions[0, [column(name) for name in strongest]] = np.arange(len(strongest), 0, -1)
    assert strongest_reasons(of_row, contributions) == [expected]
    [[first]] = strongest_reasons(of_row, contributions, limit=1)
    assert first == next((code for code in expected if code not in SUPPORTING_CODES), None)
