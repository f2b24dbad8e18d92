"""Confidence intervals of an evaluation's means over the folds; what they mean says `models.card_bootstrap`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cli.evaluate.replay import Report
from cli.evaluate.run import Experiment, card_precision_name
from cli.evaluate.scored_fold import ModelScores, ScoredFold
from models.card_bootstrap import (
    MINIMUM_DEFRAUDED_CARDS,
    RESAMPLES,
    Interval,
    JudgedRows,
    defrauded_cards,
    percentile_interval,
    resampled_means,
)
from models.evaluation import row_costs_minor

Intervals = dict[str, Interval | None]
"""Per metric; None where some resample has no value."""


class ColumnIntervals(Struct, frozen=True, kw_only=True):
    """Intervals of a score column's means, and of their differences to ours in the same resamples (theirs - ours)."""

    mean: Intervals
    difference: Intervals


class Confidence(Struct, frozen=True, kw_only=True):
    """Intervals of the means over the folds. `level` is in 0..1.

    With fewer than `MINIMUM_DEFRAUDED_CARDS` cards with fraud there are none, and `note` says so.
    """

    level: float
    resamples: int
    defrauded_cards: int
    note: str | None
    mean: Intervals
    score_columns: dict[str, ColumnIntervals]


def confidence_intervals(
    experiment: Experiment, scored: Sequence[ScoredFold], level: float, report: Report
) -> Confidence:
    """Resample the cards of all folds, for the detector and for every score column alike."""
    ours = [_judged(experiment, fold, fold.ours) for fold in scored]
    defrauded = defrauded_cards(ours)
    if defrauded < MINIMUM_DEFRAUDED_CARDS:
        note = (
            f"no intervals: the tests have fraud on {defrauded} cards, and an interval from fewer than"
            f" {MINIMUM_DEFRAUDED_CARDS} claims too much"
        )
        return Confidence(level=level, resamples=0, defrauded_cards=defrauded, note=note, mean={}, score_columns={})
    report("confidence intervals")
    our_means = resampled_means(ours, cards_a_day=experiment.cards_a_day)
    columns = {}
    for name in scored[0].theirs:
        report(f"confidence intervals of {name}")
        theirs = [_judged(experiment, fold, fold.theirs[name]) for fold in scored]
        means = resampled_means(theirs, cards_a_day=experiment.cards_a_day)
        differences = {metric: values - our_means[metric] for metric, values in means.items()}
        columns[name] = ColumnIntervals(
            mean=_intervals(experiment, means, level), difference=_intervals(experiment, differences, level)
        )
    return Confidence(
        level=level,
        resamples=RESAMPLES,
        defrauded_cards=defrauded,
        note=None,
        mean=_intervals(experiment, our_means, level),
        score_columns=columns,
    )


def _intervals(experiment: Experiment, values: Mapping[str, NDArray[np.float64]], level: float) -> Intervals:
    names = {"card_precision": card_precision_name(experiment.cards_a_day)}
    return {names.get(name, name): percentile_interval(found, level) for name, found in values.items()}


def _judged(experiment: Experiment, fold: ScoredFold, scores: ModelScores) -> JudgedRows:
    dataset, rows = experiment.dataset, fold.rows.test.rows
    is_fraud, amounts = dataset.is_fraud[rows], dataset.columns["amount"][rows]
    channels = dataset.kernel["channel"][rows].astype(np.int64)
    actions = experiment.policy.decide(scores.probabilities, amounts.astype(np.float64), channels)
    costs = row_costs_minor(experiment.policy, actions, is_fraud, amounts, channels)
    return JudgedRows(
        scores=scores.values,
        is_fraud=is_fraud,
        cards=dataset.cards[rows],
        days=dataset.days[rows],
        cost=costs.incurred,
        approval_cost=costs.of_approval,
    )
