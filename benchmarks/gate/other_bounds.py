"""Other confidence bounds of a saving, to compare that of the gate with."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.promotion.card_sums import CardSums

RESAMPLES: Final = 1_999
_NORMAL_QUANTILE_OF_1_PERCENT: Final = 2.326


def other_bounds(sums: CardSums, error_rate: float) -> dict[str, float]:
    """Return lower bounds by name; `error_rate` is 0.01 for the normal one.

    *studentised* is the bootstrap-t of the ratio (Efron and Tibshirani 1993, chapter 12.5), *percentile* the quantile
    of the resampled savings; both draw cards with replacement. *normal* takes the saving to be normal.
    """
    saved, base = sums.saved, sums.base
    if not np.count_nonzero(saved) or base.sum() <= 0:
        return dict.fromkeys(("studentised", "percentile", "normal"), 0.0)
    saving = saved.sum() / base.sum()
    error = np.sqrt(((saved - saving * base) ** 2).sum()) / base.sum()
    values = np.column_stack([saved, base, saved**2, saved * base, base**2])
    moments = _weights(len(saved), sums.cards) @ values
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = moments[:, 0] / moments[:, 1]
        spread = np.sqrt(moments[:, 2] - 2 * ratio * moments[:, 3] + ratio**2 * moments[:, 4]) / moments[:, 1]
        pivot = (ratio - saving) / spread
    pivot[~np.isfinite(pivot)] = np.inf
    quantile = np.sort(pivot)[round((1 - error_rate) * (RESAMPLES + 1)) - 1]
    return {
        "studentised": float(saving - quantile * error),
        "percentile": float(np.sort(np.nan_to_num(ratio, nan=-np.inf))[round(error_rate * (RESAMPLES + 1)) - 1]),
        "normal": float(saving - _NORMAL_QUANTILE_OF_1_PERCENT * error),
    }


def _weights(counted: int, cards: int) -> NDArray[np.float64]:
    """How often each card with a cost was drawn, [resamples, counted]. The others change no sum."""
    random = np.random.default_rng(0)
    weights = np.zeros((RESAMPLES, counted))
    for row, drawn in enumerate(random.binomial(cards, counted / cards, RESAMPLES).tolist()):
        weights[row] = np.bincount(random.integers(0, counted, drawn), minlength=counted)
    return weights
