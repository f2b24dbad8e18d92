"""Recall by typology over all worlds, with intervals, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.interval_estimate import IntervalEstimate
from benchmarks.typologies.recall import CampaignResult, WorldResult
from infra.aws.markdown_tables import table

RESAMPLES: Final = 10_000
"""Samples of the bootstrap: the ends of an interval of 95 % then vary by about a hundredth of its width."""
_HEAD: Final = ("typology", "campaigns", "frauds", "before", "now", "difference")


class ComparedRecall(Struct, frozen=True, kw_only=True):
    """Recall of one typology before and now, in 0..1, and the difference."""

    typology: str
    campaigns: int
    frauds: int
    before: IntervalEstimate
    now: IntervalEstimate
    gain: IntervalEstimate


def recalls(worlds: Sequence[WorldResult]) -> list[ComparedRecall]:
    """Return the recall of each typology, the last one over all, in the order of their names.

    Intervals are those of the percentile bootstrap over campaigns (Efron and Tibshirani, "An introduction to the
    bootstrap", 1993, chapter 13): the frauds of one campaign have device, merchant and method in common, so they are
    found or missed together, and an interval over single frauds would be too narrow.
    """
    campaigns = [campaign for world in worlds for campaign in world.campaigns]
    names = sorted({campaign.typology for campaign in campaigns})
    found = [_recall(name, [campaign for campaign in campaigns if campaign.typology == name]) for name in names]
    return [*found, _recall("all", campaigns)]


def markdown(worlds: Sequence[WorldResult]) -> str:
    """Return the table of the documentation."""
    return table(
        _HEAD,
        [
            (
                recall.typology.replace("_", " "),
                f"{recall.campaigns:,}",
                f"{recall.frauds:,}",
                recall.before.shown(".2f"),
                recall.now.shown(".2f"),
                recall.gain.shown("+.2f"),
            )
            for recall in recalls(worlds)
        ],
    )


def _recall(name: str, campaigns: Sequence[CampaignResult]) -> ComparedRecall:
    frauds, before, now = np.array([(one.frauds, one.before, one.now) for one in campaigns], np.float64).T
    random = np.random.default_rng(0)
    weights = random.multinomial(len(campaigns), np.full(len(campaigns), 1.0 / len(campaigns)), RESAMPLES)
    total = weights @ frauds
    return ComparedRecall(
        typology=name,
        campaigns=len(campaigns),
        frauds=int(frauds.sum()),
        before=_interval(before.sum() / frauds.sum(), weights @ before / total),
        now=_interval(now.sum() / frauds.sum(), weights @ now / total),
        gain=_interval((now - before).sum() / frauds.sum(), weights @ (now - before) / total),
    )


def _interval(value: float, resampled: NDArray[np.float64]) -> IntervalEstimate:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return IntervalEstimate(value=float(value), low=float(low), high=float(high))
