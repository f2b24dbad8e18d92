"""Evaluation: every expected number is counted by hand from a handful of rows."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import ArrayLike

from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.events import Channel
from models.evaluation import Evaluation, card_precision, evaluate, recall_at_one_false_positive_per, relative_cost


def test_ranking_metrics_of_four_rows() -> None:
    # By score: fraud, genuine, fraud, genuine. AUC: 3 of the 4 pairs are in order. AP: (1/1 + 2/3) / 2.
    found = evaluate(
        np.array([0.9, 0.8, 0.7, 0.6]),
        np.array([True, False, True, False]),
        amount_minor=np.array([100, 100, 100, 100]),
        card_ids=["a", "b", "c", "d"],
        days=[0, 0, 0, 0],
    )
    assert (found.rows, found.frauds) == (4, 2)
    assert found.roc_auc == pytest.approx(0.75)
    assert found.average_precision == pytest.approx(5 / 6)
    assert found.card_precision_at_100 == pytest.approx(0.02)
    assert found.expected_cost is None


def recall(one_in: int, genuine: ArrayLike, fraud: ArrayLike) -> float | None:
    scores = np.concatenate([np.asarray(genuine, np.float64), np.asarray(fraud, np.float64)])
    return recall_at_one_false_positive_per(one_in, scores, np.arange(len(scores)) >= np.size(genuine))


def test_recall_counts_fraud_above_the_first_genuine_row_too_many() -> None:
    genuine = np.arange(1_000) / 1_000  # one in a thousand: 0.999 may be alarmed, 0.998 may not
    assert recall(1_000, genuine, [0.9985, 0.9975, 0.5, 1.0]) == 0.5
    assert recall(100, genuine, [0.9985, 0.9895, 0.5, 1.0]) == 0.75  # 0.989 may not


def test_recall_with_fewer_genuine_rows_than_one_alarm_allows_no_alarm_at_all() -> None:
    assert recall(1_000, np.arange(999) / 999, [0.9985, 2.0]) == 0.5


def test_fraud_that_ties_with_too_many_genuine_rows_is_not_counted() -> None:
    genuine = np.concatenate([np.zeros(998), [1.0, 1.0]])
    assert recall(1_000, genuine, [1.0, 2.0]) == 0.5
    assert recall(100, genuine, [1.0, 2.0]) == 1.0


def test_without_fraud_or_without_genuine_rows_a_number_is_none() -> None:
    for label in (True, False):
        found = evaluate(
            np.array([0.1, 0.2]),
            np.array([label, label]),
            amount_minor=np.array([10, 10]),
            card_ids=["a", "b"],
            days=[0, 0],
            probabilities=np.array([0.1, 0.2]),
            channels=np.zeros(2, np.int64),
        )
        assert found.roc_auc is None
        assert found.recall_at_fpr_0_1_percent is None
        assert (found.average_precision is None) == (not label)
        assert (found.card_precision_at_100 is None) == (not label)
        assert (found.expected_cost is None) == (not label)


def test_no_rows_give_an_evaluation_without_metrics() -> None:
    nothing = np.empty(0)
    found = evaluate(
        nothing, nothing.astype(np.bool_), amount_minor=nothing.astype(np.int64), card_ids=[], days=[],
        probabilities=nothing, channels=nothing.astype(np.int64),
    )  # fmt: skip
    assert structs.asdict(found) == dict.fromkeys(Evaluation.__struct_fields__) | {"rows": 0, "frauds": 0}


def test_card_precision_takes_the_riskiest_cards_of_each_day_and_blocks_detected_ones() -> None:
    # Two cards a day. Day 0: a (its second row) and b are looked at, a is fraud: 1/2.
    # Day 1: a is blocked, so c (fraud) and b: 1/2. Day 2: only b, no fraud: 0/2.
    table = [
        # day, card, score, fraud
        (0, "a", 0.1, True),
        (0, "a", 0.9, False),
        (0, "b", 0.8, False),
        (0, "c", 0.7, True),
        (1, "a", 0.9, True),
        (1, "b", 0.2, False),
        (1, "c", 0.1, True),
        (2, "b", 0.5, False),
    ]
    days, cards, scores, frauds = (list(values) for values in zip(*table, strict=True))
    found = card_precision(np.array(scores), np.array(frauds), cards, days, cards_a_day=2)
    assert found == pytest.approx((0.5 + 0.5 + 0.0) / 3)


def test_of_equally_risky_cards_the_first_by_id_is_checked() -> None:
    scores, frauds = np.array([0.5, 0.5]), np.array([True, False])
    assert card_precision(scores, frauds, ["z", "y"], [0, 0], cards_a_day=1) == 0.0
    assert card_precision(scores, frauds, ["y", "z"], [0, 0], cards_a_day=1) == 1.0


def test_relative_cost_is_the_cost_of_the_decisions_over_that_of_approving_all() -> None:
    # Declining is out of the question, a challenge costs 100 and stops 9 of 10 frauds.
    policy = DecisionPolicy(
        challenge_cost_minor=100.0, challenge_stops_fraud=0.9, decline_cost_minor=1e9, lost_margin=0.0
    )
    # Both rows of 10,000 are challenged, both of 50 approved: a tenth of the fraud gets through, the genuine one is
    # annoyed, the small fraud is paid.
    share = relative_cost(
        np.array([0.5, 0.5, 0.5, 0.5]),
        np.array([True, False, True, False]),
        np.array([10_000, 10_000, 50, 50]),
        np.full(4, CHANNELS.index(Channel.ECOMMERCE)),
        policy,
    )
    assert share == pytest.approx((1_000 + 100 + 50) / 10_050)


def test_costs_without_channels_are_refused_because_they_depend_on_them() -> None:
    one = np.array([0.5])
    with pytest.raises(ValueError, match="channels"):
        evaluate(one, one > 0, amount_minor=np.array([1]), card_ids=["a"], days=[0], probabilities=one)
