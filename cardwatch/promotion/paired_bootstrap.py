"""One-sided confidence bound of a relative saving: a paired wild bootstrap over cards.

Champion and challenger decide the same rows, so their costs are compared in pairs: card c saves d_c of the base b_c,
and the saving is sum(d) / sum(b). Cards are resampled as a whole, because the rows of a card depend on each other.

That the saving is at most m is tested with z_c = d_c - m b_c, whose sum is then not expected to be positive. A resample
changes the sign of each z_c with probability 1/2; the share of resamples whose sum is at least the observed one is the
p-value. This is the wild cluster bootstrap-t with the null hypothesis imposed and Rademacher weights (Cameron, Gelbach
and Miller 2008, Bootstrap-based improvements for inference with clustered errors, Rev. Econ. Stat. 90; Davidson and
Flachaire 2008, The wild bootstrap, tamed at last, J. Econometrics 146). It is studentised: sum(z²) is the same in every
resample. For differences that are symmetric it is exact for any number of cards and any tails (Efron 1969, Student's
t-test under symmetry conditions, JASA 64), and differences between models of equal quality are symmetric, because
champion and challenger could change places. Otherwise it is valid for many cards (Romano 1990, On the behavior of
randomization tests without a group invariance assumption, JASA 85).

The bound is the largest m that the test refuses. The sum of a resample is at least the observed one if the sum of the
cards with changed signs is not positive, so with m at or above the saving of these cards alone. Therefore the bound is
a quantile of the savings of random halves of the cards (Hartigan 1969, Using subsample values as typical values, JASA
64). docs/verdict.md has the measured error rate and power, also of the bootstrap that draws cards with replacement.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.promotion.card_sums import CardSums

RESAMPLES: Final = 9_999
"""Number of resamples. With 9,999, the quantiles for 1 % and 5 % are whole places in the order of the savings."""
RESAMPLES_OF_A_SLICE: Final = 1_999
"""The same for slices, of which there are many, and whose error rate is higher."""
_QUANTILE_OF_POWER: Final = 0.8416
"""The standard normal quantile of 80 %: an estimate exceeds the truth less this many standard errors so often."""
_CHUNK_VALUES: Final = 1 << 21
"""Signs that are held in memory at a time, in cards times resamples: 16 MB of them."""


class SavingBound(Struct, frozen=True, kw_only=True):
    """A relative saving and what the rows say about it. 0.2 is a fifth of the base; negative is a loss.

    With a probability of 1 - `error_rate` the true saving is above `lower_bound`, None if nothing can be said. A true
    saving of `detectable` more than required is found with a probability of 80 %, as far as costs scatter then as they
    do here. `differing_cards` are cards for which the two models' costs differ. `largest_card` is the part of the
    saving, as a share of the base, that comes from the card that matters most.
    """

    saving: float
    standard_error: float
    lower_bound: float | None
    detectable: float | None
    error_rate: float
    cards: int
    differing_cards: int
    largest_card: float
    resamples: int
    seed: int


def bound_saving(sums: CardSums, *, error_rate: float, resamples: int = RESAMPLES, seed: int = 0) -> SavingBound:
    """Return the bound of the saving of these cards. `error_rate` is in 0..0.5, and at least 1 / (`resamples` + 1).

    k cards that differ, all to the better, give a bound above 0 only if 2^-k is below the error rate. Without any base
    the saving is 0, and known to be so if nothing differs.

    >>> sums = CardSums(saved=np.array([1.0, 1.0, 2.0]), base=np.array([2.0, 2.0, 4.0]), cards=100)
    >>> bound = bound_saving(sums, error_rate=0.2)
    >>> bound.saving, bound.lower_bound
    (0.5, 0.5)
    """
    total = float(sums.base.sum())
    differing = int(np.count_nonzero(sums.saved))
    saving = float(sums.saved.sum()) / total if total > 0 else 0.0
    influence = sums.saved - saving * sums.base
    error = float(np.sqrt((influence**2).sum())) / total if total > 0 else 0.0
    if total > 0 and differing:
        halves = np.sort(np.concatenate(list(_savings_of_halves(sums, resamples, seed))))
        bound = float(halves[_place(error_rate, resamples)])
    else:
        bound = -np.inf if differing else 0.0
    return SavingBound(
        saving=saving,
        standard_error=error,
        lower_bound=bound if np.isfinite(bound) else None,
        detectable=saving - bound + _QUANTILE_OF_POWER * error if np.isfinite(bound) and differing else None,
        error_rate=error_rate,
        cards=sums.cards,
        differing_cards=differing,
        largest_card=float(sums.saved[np.argmax(np.abs(influence))]) / total if total > 0 and differing else 0.0,
        resamples=resamples,
        seed=seed,
    )


def _savings_of_halves(sums: CardSums, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the savings of random halves in chunks of resamples; -inf for a half without any base.

    The signs are the raw bits of the generator, whose sequence NumPy never changes (NEP 19).
    """
    counted = len(sums.saved)
    values = np.column_stack([sums.saved, sums.base])
    generator = np.random.PCG64(seed)
    words = -(-counted // 64)
    at_once = max(1, _CHUNK_VALUES // counted)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        raw = generator.random_raw(rows * words).astype("<u8").reshape(rows, words)
        chosen = np.unpackbits(raw.view(np.uint8), axis=1, count=counted, bitorder="little")
        saved, base = (chosen.astype(np.float64) @ values).T
        yield np.divide(saved, base, out=np.full(rows, -np.inf), where=base > 0)


def _place(share: float, resamples: int) -> int:
    """The place, from 0, of the quantile `share` among sorted values (Davison and Hinkley 1997, chapter 2.4)."""
    return min(max(int(share * (resamples + 1) + 1e-9) - 1, 0), resamples - 1)
