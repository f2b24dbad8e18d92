from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy, incurred_cost_minor
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.events import Action, Channel
from cardwatch.label_states import LabelState
from models.selection_estimates import (
    Bounds,
    count_missed_frauds,
    recall_bounds,
    weighted_average_precision,
    weighted_cost_minor,
)

FRAUD, GENUINE, CENSORED = LabelState.KNOWN_FRAUD, LabelState.PRESUMED_GENUINE, LabelState.CENSORED
POLICY = DecisionPolicy()


def online(rows: int) -> NDArray[np.int64]:
    """The channel with a challenge, for each row."""
    return np.full(rows, CHANNELS.index(Channel.ECOMMERCE), np.int64)


def test_a_weight_counts_a_row_several_times() -> None:
    scores, is_fraud = np.array([0.9, 0.8, 0.7, 0.2]), np.array([True, False, True, False])
    weight = np.array([2, 1, 3, 4])
    repeated = np.repeat(np.arange(4), weight)
    assert weighted_average_precision(scores, is_fraud, weight) == pytest.approx(
        average_precision_score(is_fraud[repeated], scores[repeated])
    )
    actions = [Action.DECLINE, Action.CHALLENGE, Action.APPROVE, Action.APPROVE]
    amounts = np.array([1_000, 2_000, 3_000, 4_000])
    all_actions = [actions[row] for row in repeated]
    assert weighted_cost_minor(POLICY, actions, is_fraud, amounts, online(4), weight) == pytest.approx(
        incurred_cost_minor(
            POLICY, all_actions, is_fraud[repeated], amounts[repeated].astype(np.float64), online(len(repeated))
        )
    )


def test_rows_without_weight_are_no_rows() -> None:
    assert weighted_average_precision(np.array([0.9, 0.1]), np.array([True, True]), np.array([0.0, 1.0])) == 1.0
    assert weighted_average_precision(np.array([0.9, 0.1]), np.array([True, False]), np.array([0.0, 1.0])) is None


def test_approved_frauds_count_with_their_weight_and_over_all_transactions() -> None:
    would_approve = np.array([True, True, False, True])
    is_fraud = np.array([True, True, True, False])
    weight = np.array([1.0, 2.5, 1.0, 1.0])
    found = count_missed_frauds(would_approve, is_fraud, weight, transactions=10)
    assert found == MissedFrauds(frauds=3.5, decisions=10)
    assert count_missed_frauds(would_approve, is_fraud, weight, transactions=0) is None


def test_censored_transactions_open_the_recall_to_both_sides() -> None:
    # Two known frauds, one caught; one censored transaction would be caught, and one would not.
    states = np.array([FRAUD, FRAUD, CENSORED, CENSORED, GENUINE], np.int8)
    stopped = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    assert recall_bounds(states, stopped) == Bounds(1 / 3, 2 / 3)
    assert recall_bounds(np.array([FRAUD, FRAUD], np.int8), np.array([1.0, 0.0])) == Bounds(0.5, 0.5)
    assert recall_bounds(np.array([GENUINE], np.int8), np.array([1.0])) is None


def test_a_challenged_fraud_is_caught_in_the_share_that_a_challenge_stops() -> None:
    # 0.9 of two known frauds; a declined one more makes it 1.9 of 3.
    states, stopped = np.array([FRAUD, FRAUD, CENSORED], np.int8), np.array([0.9, 0.0, 1.0])
    assert recall_bounds(states, stopped) == Bounds(pytest.approx(0.45), pytest.approx(1.9 / 3))


STOPS = {Action.APPROVE: 0.0, Action.CHALLENGE: POLICY.challenge_stops_fraud, Action.DECLINE: 1.0}
CASES = st.lists(
    st.tuples(st.sampled_from([FRAUD, GENUINE, CENSORED]), st.sampled_from(Action)),
    min_size=1,
    max_size=6,
)


@given(CASES)
def test_bounds_hold_for_every_truth_and_are_reached(rows: list[tuple[LabelState, Action]]) -> None:
    states = np.array([state for state, _ in rows])
    stopped = np.array([STOPS[action] for _, action in rows])
    choices = [[state is FRAUD] if state is not CENSORED else [False, True] for state, _ in rows]
    truths = [np.array(truth) for truth in product(*choices)]
    recalls = [float(stopped[truth].mean()) for truth in truths if truth.any()]
    found = recall_bounds(states.astype(np.int8), stopped)
    assert (found is None) == (not recalls)
    if found is not None:
        assert (found.low, found.high) == pytest.approx((min(recalls), max(recalls)))
