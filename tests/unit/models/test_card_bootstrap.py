"""Intervals by resampled cards: a weight means copies of a card, and intervals contain the truth as often as said."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from models.card_bootstrap import (
    JudgedRows,
    WeightedMetrics,
    defrauded_cards,
    percentile_interval,
    resampled_means,
)
from models.evaluation import card_precision, evaluate, row_costs_minor

CARDS = 5
POLICY = DecisionPolicy(challenge_cost_minor=20, decline_cost_minor=50)

ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),  # few distinct scores, so that ties are frequent
        st.booleans(),
        st.integers(0, CARDS - 1),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)  # the policy is compiled on the first call
@given(rows=ROWS, weights=st.lists(st.integers(0, 3), min_size=CARDS, max_size=CARDS), cards_a_day=st.integers(1, 4))
@example(rows=[(2, True, 0, 0), (1, False, 1, 0), (1, True, 0, 1)], weights=[3, 1, 0, 0, 0], cards_a_day=2)
def test_a_weight_means_that_many_cards_with_the_same_rows(
    rows: list[tuple[int, bool, int, int]], weights: list[int], cards_a_day: int
) -> None:
    scores, is_fraud, cards, days = (np.array(column) for column in zip(*rows, strict=True))
    probabilities, amounts = scores / 4, 100 * (1 + days)
    channels = cards % len(CHANNELS)
    actions = POLICY.decide(probabilities, amounts.astype(np.float64), channels)
    costs = row_costs_minor(POLICY, actions, is_fraud, amounts, channels)
    judged = JudgedRows(
        scores=scores.astype(np.float32),
        is_fraud=is_fraud,
        cards=cards,
        days=days,
        cost=costs.incurred,
        approval_cost=costs.of_approval,
    )
    measured = WeightedMetrics(judged, cards, cards_a_day).measure(np.array([weights], np.int32))

    copies = [(row, copy) for row in range(len(rows)) for copy in range(weights[cards[row]])]
    at = np.array([row for row, _ in copies], np.int64)
    if not len(at):
        assert all(np.isnan(value[0]) for value in measured.values())
        return
    copied_cards = np.array([cards[row] * 10 + copy for row, copy in copies])
    expected = evaluate(
        scores[at],
        is_fraud[at],
        amount_minor=amounts[at],
        card_ids=copied_cards,
        days=days[at],
        probabilities=probabilities[at],
        channels=channels[at],
        policy=POLICY,
    )
    for name in measured.keys() - {"card_precision"}:
        assert measured[name][0] == pytest.approx(number(getattr(expected, name)), nan_ok=True), name
    share = card_precision(scores[at], is_fraud[at], copied_cards, days[at], cards_a_day=cards_a_day)
    assert measured["card_precision"][0] == pytest.approx(number(share), nan_ok=True)


def number(value: float | None) -> float:
    return np.nan if value is None else value


def population(random: np.random.Generator, cards: int, rows_a_card: int) -> JudgedRows:
    """A third of the cards is defrauded, in all rows. The rows of a card share its effect: they are not independent."""
    card = np.repeat(np.arange(cards), rows_a_card)
    is_fraud = card % 3 == 0
    scores = is_fraud + random.normal(0, 1.0, cards)[card] + random.normal(0, 0.5, len(card))
    return JudgedRows(
        scores=scores,
        is_fraud=is_fraud,
        cards=card,
        days=np.zeros_like(card),
        cost=None,
        approval_cost=np.ones(len(card)),
    )


# A fraud and a genuine row are of two cards: their difference has mean 1 and variance 2 (1 + 0.25).
TRUE_AUC = 1.0 - NormalDist(1.0, 2.5**0.5).cdf(0.0)


def contained(clusters: NDArray[np.int64] | None, samples: int = 150) -> float:
    """How often a 90 % interval contains the true ROC AUC, if `clusters` (by default the cards) are resampled."""
    random = np.random.default_rng(5)
    hits = 0
    for seed in range(samples):
        rows = population(random, cards=90, rows_a_card=5)
        if clusters is not None:
            rows = JudgedRows(
                scores=rows.scores, is_fraud=rows.is_fraud, cards=clusters, days=rows.days, cost=None,
                approval_cost=rows.approval_cost,
            )  # fmt: skip
        values = resampled_means([rows], cards_a_day=5, resamples=200, seed=seed)["roc_auc"]
        interval = percentile_interval(values, 0.9)
        assert interval is not None
        hits += interval.low <= TRUE_AUC <= interval.high
    return hits / samples


def test_intervals_contain_the_truth_as_often_as_they_say() -> None:
    # Of 150 samples, 90 % has a standard error of 2.4 %. Thirty defrauded cards are few, so a little less is expected.
    assert 0.83 <= contained(None) <= 0.96


def test_resampling_rows_one_by_one_would_claim_too_much() -> None:
    assert contained(np.arange(90 * 5), samples=60) < 0.75


def test_resamples_are_the_same_for_two_models_and_for_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = population(np.random.default_rng(1), cards=40, rows_a_card=3)
    once = resampled_means([rows, rows], cards_a_day=3, resamples=23, seed=4)
    assert not np.isnan(once["average_precision"]).any()
    assert len(np.unique(once["average_precision"])) > 20
    monkeypatch.setattr("models.card_bootstrap._CHUNK_VALUES", 300)
    in_chunks = resampled_means([rows, rows], cards_a_day=3, resamples=23, seed=4)
    for name, values in once.items():
        np.testing.assert_allclose(values, in_chunks[name], rtol=1e-12, err_msg=name)


def test_a_card_is_drawn_once_for_all_folds() -> None:
    """Two folds of the same rows are always equal, so their mean is that of one."""
    rows = population(np.random.default_rng(2), cards=40, rows_a_card=3)
    one, two = (resampled_means(folds, cards_a_day=3, resamples=20) for folds in ([rows], [rows, rows]))
    np.testing.assert_allclose(one["roc_auc"], two["roc_auc"], rtol=1e-12)


def test_the_interval_is_the_middle_of_the_resamples_and_none_if_one_has_no_value() -> None:
    values = np.arange(101, dtype=np.float64)
    interval = percentile_interval(values, 0.9)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((5.0, 95.0))
    assert percentile_interval(np.append(values, np.nan), 0.9) is None


def test_defrauded_cards_are_counted_once_over_all_folds() -> None:
    rows = population(np.random.default_rng(3), cards=40, rows_a_card=3)
    assert defrauded_cards([rows, rows]) == 14  # 0, 3, ..., 39
