"""The verdict on a challenger, and everything that was computed for it."""

from __future__ import annotations

from datetime import date
from typing import Final

from msgspec import Struct

from cardwatch.promotion.paired_bootstrap import SavingBound
from cardwatch.promotion.score_quality import ScoreQuality

VERDICT_FOLDER: Final = "verdict"
"""Folder of a model version's artifacts that contains exactly the files of the bundle of its verdict."""


class Verdict(Struct, frozen=True, kw_only=True):
    """Result of the gate. `reasons` has one sentence for each requirement, with its numbers, passed or failed.

    Sentences that begin with "noted" are no requirement.
    """

    promoted: bool
    reasons: list[str]


class SliceResult(Struct, frozen=True, kw_only=True):
    """What champion and challenger cost in a slice, over the cost of approving everything in it.

    `increase` is the challenger's cost minus the champion's, `increase_at_most` its upper confidence bound, None if it
    has none. `required` says whether the slice has enough frauds to be a requirement.
    """

    division: str
    name: str
    rows: int
    frauds: int
    champion_cost: float | None
    challenger_cost: float | None
    increase: float
    increase_at_most: float | None
    required: bool
    passed: bool


class BaselineResult(Struct, frozen=True, kw_only=True):
    """What a baseline costs in minor units, and the share of it that the challenger saves, None if it costs nothing.

    `saving_at_most` is the upper confidence bound of the saving, None if it has none.
    """

    cost_minor: float
    saving: float | None
    saving_at_most: float | None


class RefitResult(Struct, frozen=True, kw_only=True):
    """What the judged challenger costs on the judged rows, and what its settings cost that were fitted with them, too.

    Both in minor units. `passed`: whether the model fitted again is registered in place of the judged one.
    """

    judged_cost_minor: float
    cost_minor: float
    passed: bool


class VerdictReport(Struct, frozen=True, kw_only=True):
    """The verdict on n judged rows with its measurements. Without a champion there is nothing to compare with.

    `days` and `cards` are how many different ones the rows have. `excluded_days` are the days between the first and the
    last judged one that were quarantined: their rows were not judged. `refit` is None if the challenger was not fitted
    again.
    """

    verdict: Verdict
    rows: int
    frauds: int
    days: int
    excluded_days: list[date]
    cards: int
    challenger: ScoreQuality
    champion: ScoreQuality | None
    saving: SavingBound | None
    slices: list[SliceResult]
    baselines: dict[str, BaselineResult]
    refit: RefitResult | None = None
