"""Cost of the control share: the expected loss of the would-be declines that were approved for learning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.events import Action


class ExplorationPrice(NamedTuple):
    """Of the control rows: their number, and sums in minor units of the policy's currency.

    `fraud_minor` is what their fraud is expected to cost. `price_minor` is that minus what declining them would have
    cost in expectation: the price of what is learnt from them.
    """

    rows: int
    fraud_minor: float
    price_minor: float


def exploration_price(
    policy: DecisionPolicy,
    probabilities: NDArray[np.float64],
    amounts_minor: NDArray[np.float64],
    channels: NDArray[np.int64],
    propensities: NDArray[np.float64],
) -> ExplorationPrice:
    """Return the price of exploration in decided rows, by their recorded probabilities.

    `propensities`: float64 [n], NaN where the decision has no `control_propensity`. All arrays have shape [n].
    """
    rows = ~np.isnan(propensities)
    costs = policy.expected_costs(probabilities[rows], amounts_minor[rows], channels[rows])
    approved, declined = costs[:, ACTIONS.index(Action.APPROVE)], costs[:, ACTIONS.index(Action.DECLINE)]
    return ExplorationPrice(int(rows.sum()), float(approved.sum()), float((approved - declined).sum()))
