"""Bounds of the caught share of fraud, by hand and against every truth that is possible."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.events import Action
from cardwatch.label_states import LabelState
from cardwatch.recall_bounds import Bounds, recall_bounds

FRAUD, GENUINE, CENSORED = LabelState.KNOWN_FRAUD, LabelState.PRESUMED_GENUINE, LabelState.CENSORED
POLICY = DecisionPolicy()


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
