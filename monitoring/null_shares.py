"""The share of missing values per feature, of the newest day against the drift reference.

A distribution is measured on the values that are there, over a week. A field that a source stops sending makes features
missing on the same day, and the models see that at once. So null shares are compared day by day.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.progress import NullShareChange
from monitoring.watched import NULL_SHARE_NOT_WATCHED

MAXIMUM_CHANGE: Final = 0.15
"""Largest difference of two null shares that is usual. In simulations without a change (decision 5) single days
differ from the reference by up to 0.094, because the mix of channels depends on the day of week and month."""
STANDARD_ERRORS: Final = 4.0
"""How many standard errors a difference must have: days of a small portfolio have few rows."""
MIN_REFERENCE_ROWS: Final = 500
"""Minimum number of rows in the reference. With fewer, its own shares are too uncertain."""
MIN_ROWS: Final = 100
"""Minimum number of rows of a day. With fewer, the normal approximation of the standard error does not hold."""


class NullShares:
    """Compares null shares with those of `reference`, float32 [n, features]; NaN and infinite values are missing."""

    def __init__(self, reference: NDArray[np.float32]) -> None:
        self._rows = len(reference)
        self._shares = _null_shares(reference)

    def changes(self, newest: NDArray[np.float32]) -> dict[str, NullShareChange]:
        """Return the features whose null share has changed in the rows of one day, largest change first.

        It has changed if it differs by more than `MAXIMUM_CHANGE`, or if the feature has no value any more, in both
        cases by at least `STANDARD_ERRORS` standard errors of a difference of two proportions.
        """
        if self._rows < MIN_REFERENCE_ROWS or len(newest) < MIN_ROWS:
            return {}
        shares = _null_shares(newest)
        differences = np.abs(shares - self._shares)
        pooled = (shares * len(newest) + self._shares * self._rows) / (len(newest) + self._rows)
        errors = np.sqrt(pooled * (1 - pooled) * (1 / len(newest) + 1 / self._rows))
        changed = (differences > 0) & (differences >= STANDARD_ERRORS * errors)
        changed &= (differences > MAXIMUM_CHANGE) | (shares == 1)
        return {
            FEATURE_NAMES[position]: NullShareChange(
                reference=float(self._shares[position]), current=float(shares[position])
            )
            for position in np.argsort(-differences, kind="stable")
            if changed[position] and FEATURE_NAMES[position] not in NULL_SHARE_NOT_WATCHED
        }


def _null_shares(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the null share of each column, float64 [features]; 0 without any row."""
    shares: NDArray[np.float64] = (~np.isfinite(features)).sum(axis=0) / max(len(features), 1)
    return shares
