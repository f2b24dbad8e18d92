"""The expected loss by which cases are ordered."""

from __future__ import annotations

import numpy as np
import pytest

from cardwatch.cases.queue import expected_losses_minor, order_cases
from cardwatch.decision.cost_policy import CHANNELS, ChannelShares, DecisionPolicy
from cardwatch.events import Channel


def test_the_expected_loss_is_what_approving_would_cost_by_the_policy() -> None:
    policy = DecisionPolicy(liability=ChannelShares(ecommerce=0.4), chargeback_fee_minor=1_000.0)
    online, chip = CHANNELS.index(Channel.ECOMMERCE), CHANNELS.index(Channel.CHIP)
    losses = expected_losses_minor(
        policy, np.array([0.5, 0.5, np.nan, 0.5]), np.array([10_000.0, 10_000.0, 10_000.0, np.nan]),
        np.array([online, chip, chip, chip]),
    )  # fmt: skip
    # 0.5 * (0.4 * 10,000 + 1,000), and 0.5 * (10,000 + 1,000)
    assert losses[:2].tolist() == pytest.approx([2_500.0, 5_500.0])
    assert np.isnan(losses[2:]).all()


def test_each_day_has_its_capacity_and_what_is_beyond_it_is_at_the_end_and_not_lost() -> None:
    losses = np.array([5.0, 9.0, 7.0, 1.0, 3.0])
    days = np.array([1, 1, 1, 2, 2])
    order = order_cases(losses, losses, days, np.ones(5, np.bool_), 1)
    assert order.is_within_capacity.tolist() == [False, True, False, False, True]
    assert order.places.tolist() == [1, 4, 2, 0, 3]


def test_a_case_that_somebody_else_has_answered_leaves_its_place_to_the_next() -> None:
    losses = np.array([5.0, 9.0])
    order = order_cases(losses, losses, np.array([1, 1]), np.array([True, False]), 1)
    assert order.is_within_capacity.tolist() == [True, False]
    assert order.places.tolist() == [0, 1]
    order = order_cases(losses, losses, np.array([1, 1]), np.array([True, False]), None)
    assert order.is_within_capacity.tolist() == [True, False]


def test_no_cases_have_an_order_too() -> None:
    empty = np.empty(0)
    order = order_cases(empty, empty, empty.astype(np.int64), empty.astype(np.bool_), 5)
    assert (len(order.places), len(order.is_within_capacity)) == (0, 0)
