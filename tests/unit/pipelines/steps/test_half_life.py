"""Weights of rows that halve with their age."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cardwatch.features.reference_table import DAY_MS
from cardwatch.label_states import LabelCoverage
from cardwatch.training_policy import TrainingPolicy
from pipelines.steps.training_set import TrainingSet


def rows(days: list[int], weight: list[float]) -> TrainingSet:
    count = len(days)
    return TrainingSet(
        features=np.zeros((count, 1), np.float32),
        is_fraud=np.zeros(count, np.bool_),
        weight=np.array(weight, np.float32),
        declined_by_rules=np.zeros(count, np.bool_),
        amount_minor=np.zeros(count, np.int64),
        policy_amount_minor=np.zeros(count),
        overlay=np.zeros(count, np.int8),
        occurred_at_ms=np.array(days, np.int64) * DAY_MS + 3_600_000,
        card_ids=np.full(count, "card", np.object_),
        transaction_ids=np.full(count, "t", np.object_),
        fingerprint="",
        label_coverage=LabelCoverage(),
    )


def test_a_row_counts_half_as_much_as_one_that_is_a_half_life_younger() -> None:
    # 1/4, 1/2 and 1 are 1.75 together, and three rows of weight 1 are 3: all are scaled by 12/7.
    aged = rows([100, 107, 114], [1.0, 1.0, 1.0]).with_half_life(7.0)
    assert aged.weight.tolist() == pytest.approx([3 / 7, 6 / 7, 12 / 7])


def test_a_row_that_stands_for_several_still_does() -> None:
    aged = rows([100, 107, 107], [1.0, 1.0, 10.0]).with_half_life(7.0)
    assert aged.weight[2] == pytest.approx(10 * aged.weight[1])


@pytest.mark.parametrize("half_life_days", [None, 7.0])
def test_without_half_life_or_rows_nothing_changes(half_life_days: float | None) -> None:
    some, none = rows([100, 107], [1.0, 2.0]), rows([], [])
    assert some.with_half_life(None) is some
    assert none.with_half_life(half_life_days) is none


@given(
    st.lists(st.tuples(st.integers(0, 90), st.floats(0.5, 20.0)), min_size=1, max_size=40),
    st.floats(0.5, 200.0),
)
def test_the_sum_stays_and_younger_rows_gain(ages: list[tuple[int, float]], half_life_days: float) -> None:
    before = rows([200 - age for age, _ in ages], [weight for _, weight in ages])
    after = before.with_half_life(half_life_days)
    assert after.weight.sum() == pytest.approx(before.weight.sum(), rel=1e-4)
    gain = (after.weight / before.weight)[np.argsort(before.days, kind="stable")]
    assert (np.diff(gain) >= -1e-4 * gain[1:]).all()
    assert structs.replace(after, weight=before.weight).days.tolist() == before.days.tolist()


def test_with_the_shortest_half_life_the_oldest_row_of_the_window_still_has_a_weight() -> None:
    shortest = msgspec.convert({"half_life_days": 1.0}, TrainingPolicy).half_life_days
    # 97 days, the longest window with the judged week: 2^-96 of the newest row.
    assert rows([0, 96], [1.0, 1.0]).with_half_life(shortest).weight[0] > 0
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"half_life_days": 0.1}, TrainingPolicy)
