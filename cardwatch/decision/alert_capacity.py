"""The price of an alert at which the policy raises no more alerts than investigators can handle.

Minimising the expected cost with at most k alerts is a knapsack with equal weights. Its solution approves wherever an
alert saves less than a price, the Lagrange multiplier of the constraint, which is the same for all rows (Boyd and
Vandenberghe 2004, chapter 5). So a threshold in money, not on the score, keeps the capacity at the least cost.
"""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy


def savings_of_alerts(
    policy: DecisionPolicy,
    probabilities: NDArray[np.float64],
    amounts_minor: NDArray[np.float64],
    channels: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return what the cheapest alert saves over approving, without the price of an alert: minor units, float64 [n]."""
    costs = structs.replace(policy, alert_price_minor=0.0).expected_costs(probabilities, amounts_minor, channels)
    savings: NDArray[np.float64] = costs[:, 0] - costs[:, 1:].min(axis=1)
    return savings


def alert_price_minor(savings: NDArray[np.float64], alerts: int) -> float:
    """Return the least price at which at most `alerts` of these rows are alerts, in minor units, at least 0.

    `savings` as `savings_of_alerts` returns them. Rows with the same saving become alerts together or not at all.

    >>> alert_price_minor(np.array([500.0, -20.0, 80.0, 300.0]), 2) > 80.0
    True
    >>> alert_price_minor(np.array([500.0, -20.0, 80.0, 300.0]), 3)
    0.0
    """
    worthwhile = np.sort(savings[savings > 0.0])[::-1]
    if len(worthwhile) <= alerts:
        return 0.0
    return float(worthwhile[alerts]) * (
        1.0 + 1e-9
    )  # the price enters two rounded sums, so that a tie could be an alert
