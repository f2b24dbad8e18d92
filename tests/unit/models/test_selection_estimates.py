from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy, incurred_cost_minor
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.events import Action, Channel
from cardwatch.label_states import LabelState
from models.selection_estimates import (
    count_missed_frauds,
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
