"""What the policy does with n transactions, and what that costs, as columns: for judging models on archived rows.

These are the steps of `cardwatch.decision.decide.apply_policy`, except that nothing is drawn: of the control share
there is the probability with which it approves a transaction, and costs are expectations over it. So a verdict depends
neither on a key nor on luck. `tests/properties/test_policy_actions.py` compares both with arbitrary policies.

`overlay` is what the rules of the policy file ask for, int8 [n], see `overlay_rules.strictest_actions`. Amounts are in
minor units of the policy's currency, float64 [n], channels as of `channels_of`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.events import Action

_APPROVE, _CHALLENGE, _DECLINE = (
    ACTIONS.index(action) for action in (Action.APPROVE, Action.CHALLENGE, Action.DECLINE)
)
_Amounts = NDArray[np.float64] | NDArray[np.int64]


def actions_by_model(
    policy: DecisionPolicy,
    probabilities: NDArray[np.float64],
    amounts_minor: NDArray[np.float64],
    channels: NDArray[np.int64],
    overlay: NDArray[np.int8],
) -> NDArray[np.int8]:
    """Return the actions for transactions with a probability, int8 [n], before the control share."""
    return np.maximum(policy.choose(probabilities, amounts_minor, channels), overlay).astype(np.int8)


def actions_by_rules(
    policy: DecisionPolicy, features: NDArray[np.float32], overlay: NDArray[np.int8]
) -> NDArray[np.int8]:
    """Return the actions for transactions without a probability, int8 [n], from features, float32 [n, features]."""
    by_rules = np.where(policy.are_challenged_by_rules(features), _CHALLENGE, _APPROVE)
    return np.maximum(by_rules.astype(np.int8), overlay)


def control_propensities(
    policy: DecisionPolicy, actions: NDArray[np.int8], overlay: NDArray[np.int8], amounts_minor: _Amounts
) -> NDArray[np.float64]:
    """Return the probability with which the control share approves each transaction instead, float64 [n].

    Degraded rules do not decline, so every decline that no rule of the policy file has touched is one of the model.
    """
    covered = policy.control.covers((actions == _DECLINE) & (overlay == _APPROVE), amounts_minor)
    return np.where(covered, policy.control.share, 0.0)


def costs_under_labels(
    policy: DecisionPolicy,
    actions: NDArray[np.int8],
    overlay: NDArray[np.int8],
    is_fraud: NDArray[np.bool_],
    amounts_minor: _Amounts,
    channels: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return what each action costs, given which transactions were fraud, in minor units, float64 [n].

    For a transaction of the control share it is the expectation over what the share approves.
    """
    costs = policy.expected_costs(is_fraud.astype(np.float64), amounts_minor.astype(np.float64), channels)
    taken = np.take_along_axis(costs, actions.astype(np.int64)[:, None], axis=1)[:, 0]
    share = control_propensities(policy, actions, overlay, amounts_minor)
    expected = (1.0 - share) * taken + share * costs[:, _APPROVE]
    return np.where(share > 0.0, expected, taken)
