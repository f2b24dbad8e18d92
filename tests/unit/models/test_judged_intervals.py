"""Intervals of judged rows: those of the card bootstrap where every weight is 1, and weights mean repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.card_bootstrap import JudgedRows, percentile_interval, resampled_means
from models.judged_intervals import JudgedIntervals, judged_intervals

CARDS = 60


def rows(*, seed: int = 5) -> dict[str, NDArray[np.generic]]:
    """Four rows of each card; half of the cards lose one of them to fraud."""
    random = np.random.default_rng(seed)
    cards = np.repeat(np.arange(CARDS), 4)
    is_fraud = (np.arange(4 * CARDS) % 4 == 3) & (cards % 2 == 0)
    margins = (random.normal(size=4 * CARDS) + 1.5 * is_fraud).astype(np.float32)
    approval = np.where(is_fraud, 1_000.0, 0.0)
    return {
        "margins": np.round(margins, 1),  # some are equal
        "is_fraud": is_fraud,
        "weight": np.ones(4 * CARDS),
        "cards": cards,
        "cost_minor": np.where(margins > 1.0, np.where(is_fraud, 0.0, 50.0), approval),
        "approval_cost_minor": approval,
    }


def test_with_equal_weights_they_are_those_of_the_card_bootstrap() -> None:
    given = rows()
    found = judged_intervals(**given, resamples=200)  # type: ignore[arg-type]
    fold = JudgedRows(
        scores=given["margins"],  # type: ignore[arg-type]
        is_fraud=given["is_fraud"],  # type: ignore[arg-type]
        cards=given["cards"],  # type: ignore[arg-type]
        days=np.zeros(4 * CARDS, np.int64),
        cost=given["cost_minor"],  # type: ignore[arg-type]
        approval_cost=given["approval_cost_minor"],  # type: ignore[arg-type]
    )
    drawn = resampled_means([fold], cards_a_day=100, resamples=200)
    for name, of_bootstrap in (
        ("average_precision", "average_precision"),
        ("recall", "recall_at_fpr_0_1_percent"),
        ("relative_cost", "expected_cost"),
    ):
        expected = percentile_interval(drawn[of_bootstrap], 0.95)
        interval = getattr(found, name)
        assert expected is not None
        assert (interval.low, interval.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_a_row_of_weight_two_counts_like_two_rows() -> None:
    given = rows()
    weight = np.where(np.arange(4 * CARDS) % 3 == 0, 2.0, 1.0)
    costs = {name: given[name] * weight for name in ("cost_minor", "approval_cost_minor")}  # type: ignore[operator]
    weighted = judged_intervals(**{**given, "weight": weight, **costs}, resamples=50)  # type: ignore[arg-type]
    twice = {name: np.repeat(values, weight.astype(int)) for name, values in given.items()}
    repeated = judged_intervals(**twice, resamples=50)  # type: ignore[arg-type]
    for name in ("average_precision", "recall", "relative_cost"):
        one, other = getattr(weighted, name), getattr(repeated, name)
        assert (one.low, one.high) == (pytest.approx(other.low), pytest.approx(other.high))


def test_with_few_defrauded_cards_there_is_no_interval() -> None:
    given = rows()
    given["is_fraud"] = given["is_fraud"] & (given["cards"] < 38)  # type: ignore[operator]
    assert len(np.unique(given["cards"][given["is_fraud"]])) == 19  # type: ignore[index]
    assert judged_intervals(**given) == JudgedIntervals()  # type: ignore[arg-type]
