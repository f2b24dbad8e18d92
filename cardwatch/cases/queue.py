"""The order of the queue: cases of a day within its capacity first, the largest expected loss first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.events import Action


class QueueOrder(NamedTuple):
    """The order of n cases.

    `places`: int64 [n], the cases in the order of the queue. `is_within_capacity`: bool [n], by case.
    """

    places: NDArray[np.int64]
    is_within_capacity: NDArray[np.bool_]


def expected_losses_minor(
    policy: DecisionPolicy,
    probabilities: NDArray[np.float64],
    amounts_minor: NDArray[np.float64],
    channels: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return what approving each of n transactions would be expected to cost, float64 [n], in minor units of `policy`.

    Amounts are in its currency, channels are places in `CHANNELS`. The loss is NaN without a probability or amount,
    which are NaN then: there is never a made-up score.
    """
    costs = policy.expected_costs(probabilities, amounts_minor, channels)
    losses: NDArray[np.float64] = costs[:, ACTIONS.index(Action.APPROVE)]
    return losses


def order_cases(
    losses_minor: NDArray[np.float64],
    amounts_minor: NDArray[np.float64],
    days: NDArray[np.int64],
    takes_capacity: NDArray[np.bool_],
    capacity_per_day: int | None,
) -> QueueOrder:
    """Order n cases. All arrays have the length n.

    `losses_minor` and `amounts_minor` may be NaN. `days` are numbers of event days. `takes_capacity` is False for a
    case that needs no review, because somebody else has told what the transaction was; it is never within capacity.

    Of each day the `capacity_per_day` cases with the largest expected loss are within capacity, all without a limit.
    The queue has these first, then the others; among them the largest expected loss first. Cases without one come after
    all with one, the largest amount first, then those without an amount. Equal cases keep their order.

    >>> losses, amounts = np.array([5.0, np.nan, 9.0]), np.array([50.0, 70.0, 90.0])
    >>> order_cases(losses, amounts, np.array([3, 3, 3]), np.array([True, True, True]), 1)
    QueueOrder(places=array([2, 0, 1]), is_within_capacity=array([False, False,  True]))
    """
    count = len(losses_minor)
    is_within = takes_capacity.copy()
    by_loss = np.lexsort((_descending(amounts_minor), _descending(losses_minor)))
    if capacity_per_day is not None:
        by_day = by_loss[np.argsort(days[by_loss], kind="stable")]
        by_day = by_day[takes_capacity[by_day]]
        of_day = days[by_day]
        first_of_day = np.searchsorted(of_day, of_day, side="left")
        is_within[by_day] = np.arange(len(by_day)) - first_of_day < capacity_per_day
    places = by_loss[np.argsort(~is_within[by_loss], kind="stable")]
    return QueueOrder(places.astype(np.int64).reshape(count), is_within)


def _descending(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return keys that sort the values from the largest on, NaN last."""
    keys: NDArray[np.float64] = np.where(np.isnan(values), np.inf, -values)
    return keys
