"""Null shares of a day against the drift reference: which changes are reported."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURE_NAMES, FEATURES, column
from cardwatch.progress import NullShareChange
from monitoring.null_shares import NullShares
from monitoring.watched import NULL_SHARE_NOT_WATCHED

Rows = NDArray[np.float32]


def rows(number: int, **missing: float) -> Rows:
    """Return rows of ones, in which the given share of each named feature is missing."""
    drawn = np.ones((number, len(FEATURES)), np.float32)
    for name, share in missing.items():
        drawn[: round(number * share), column(name)] = np.nan
    return drawn


def test_features_whose_null_share_is_not_watched_are_features() -> None:
    assert set(NULL_SHARE_NOT_WATCHED) < set(FEATURE_NAMES)


def test_equal_shares_are_no_change() -> None:
    assert NullShares(rows(2_000, device_age=0.5)).changes(rows(3_000, device_age=0.5)) == {}


@pytest.mark.rubric("monitor-2")
def test_a_feature_that_becomes_missing_is_named_with_both_shares() -> None:
    changes = NullShares(rows(2_000, device_is_new=0.5)).changes(rows(3_000, device_is_new=1.0))
    assert changes == {"device_is_new": NullShareChange(reference=0.5, current=1.0)}


def test_a_feature_that_is_missing_less_often_is_named_too() -> None:
    changes = NullShares(rows(2_000, device_is_new=0.5)).changes(rows(3_000, device_is_new=0.25))
    assert changes == {"device_is_new": NullShareChange(reference=0.5, current=0.25)}


def test_the_largest_change_comes_first() -> None:
    changes = NullShares(rows(2_000)).changes(rows(2_000, amount=0.25, device_age=0.5, hour_of_day=0.75))
    assert list(changes) == ["hour_of_day", "device_age", "amount"]


@pytest.mark.parametrize(("share", "is_reported"), [(0.14, False), (0.16, True)])
def test_a_change_is_reported_from_fifteen_points_on(share: float, is_reported: bool) -> None:
    assert bool(NullShares(rows(2_000)).changes(rows(2_000, amount=share))) is is_reported


def test_a_rare_value_that_disappears_is_reported() -> None:
    """Five of a hundred rows had a value: with 2,000 rows a day that has none is no chance."""
    assert list(NullShares(rows(2_000, amount=0.95)).changes(rows(2_000, amount=1.0))) == ["amount"]
    # 100 rows would have five, and (0.05 / sqrt(0.952 x 0.048 x (1 / 100 + 1 / 2000))) is 2.3 standard errors
    assert NullShares(rows(2_000, amount=0.95)).changes(rows(100, amount=1.0)) == {}


def test_a_small_day_needs_a_larger_change() -> None:
    # pooled 0.505: sqrt(0.25 x (1 / 100 + 1 / 2000)) is 0.051, and four of them are 0.205
    reference = NullShares(rows(2_000, amount=0.5))
    assert reference.changes(rows(100, amount=0.7)) == {}
    assert list(reference.changes(rows(100, amount=0.72))) == ["amount"]


def test_too_few_rows_are_not_assessed() -> None:
    assert NullShares(rows(2_000)).changes(rows(99, amount=1.0)) == {}
    assert NullShares(rows(499)).changes(rows(2_000, amount=1.0)) == {}
    assert NullShares(rows(0)).changes(rows(0)) == {}


def test_infinite_values_are_missing() -> None:
    changed = rows(2_000)
    changed[:, column("amount")] = np.inf
    assert list(NullShares(rows(2_000)).changes(changed)) == ["amount"]


@pytest.mark.parametrize("name", NULL_SHARE_NOT_WATCHED)
def test_a_feature_that_is_missing_for_what_is_new_is_not_reported(name: str) -> None:
    assert NullShares(rows(2_000, **{name: 0.5})).changes(rows(2_000)) == {}


@given(share=st.floats(0.05, 0.95), seed=st.integers(0, 2**32 - 1), number=st.integers(500, 4_000))
def test_rows_of_the_same_distribution_are_not_reported(share: float, seed: int, number: int) -> None:
    """Values that are missing independently in every column, drawn for both sides."""
    generator = np.random.default_rng(seed)

    def drawn(rows: int) -> Rows:
        is_missing = generator.random((rows, len(FEATURES))) < share
        return np.where(is_missing, np.float32(np.nan), np.float32(1))

    assert NullShares(drawn(5_000)).changes(drawn(number)) == {}
