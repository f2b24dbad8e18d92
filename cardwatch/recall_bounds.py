"""Bounds of the share of fraud that is caught, where declined transactions have no outcome.

No weight helps where an action leaves no control row, as above the largest amount of the control share: there only
bounds hold that assume the best and the worst of every censored row (Manski, "Nonparametric bounds on treatment
effects", American Economic Review 1990).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.label_states import LabelState, States


class Bounds(NamedTuple):
    """The least and the largest value that the data allow. `low` is not above `high`."""

    low: float
    high: float


def recall_bounds(states: States, stopped: NDArray[np.float64]) -> Bounds | None:
    """Return bounds of the share of fraud that is caught among n transactions, in 0..1, None if there may be no fraud.

    `stopped`: float64 [n], the probability with which the judged policy's action stops the transaction if it is fraud:
    0 for an approval, 1 for a decline, `challenge_stops_fraud` for a challenge. Censored transactions may be fraud or
    not: the lower bound takes those for fraud that are stopped least, and the upper bound those that are stopped most.
    Immature transactions may be fraud, too.

    >>> states = np.array([LabelState.KNOWN_FRAUD, LabelState.CENSORED], np.int8)
    >>> recall_bounds(states, np.array([0.5, 1.0]))
    Bounds(low=0.5, high=0.75)
    """
    is_open = np.isin(states, (LabelState.CENSORED, LabelState.IMMATURE))
    known = states == LabelState.KNOWN_FRAUD
    caught, frauds = float(stopped[known].sum()), int(known.sum())
    least_first = np.sort(stopped[is_open])
    if frauds + len(least_first) == 0:
        return None
    low = float(_recalls(caught, frauds, least_first).min())
    return Bounds(low, float(_recalls(caught, frauds, least_first[::-1]).max()))


def _recalls(caught: float, frauds: int, stopped: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the recalls if none, the first, the first two, ... of further transactions are frauds, too."""
    of_further = np.concatenate([[0.0], np.cumsum(stopped)])
    counts = frauds + np.arange(len(of_further))
    recalls: NDArray[np.float64] = (caught + of_further)[counts > 0] / counts[counts > 0]
    return recalls
