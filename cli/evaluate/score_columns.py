"""Scores of other models in columns of the data, measured on exactly the rows on which the detector is measured."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from cli.evaluate.run import Experiment, FoldResult, Metrics, Summary, measure, summarise
from cli.evaluate.scored_fold import ScoredFold


class ScoreColumnResult(Struct, frozen=True, kw_only=True):
    """Metrics of a score column. `folds` are those of the same folds as ours; `difference`: theirs - ours, in pairs."""

    column: str
    folds: list[Metrics]
    mean: dict[str, float | None]
    std: dict[str, float | None]
    difference: Summary


def measure_score_columns(
    experiment: Experiment, scored: Sequence[ScoredFold], ours: Sequence[FoldResult]
) -> list[ScoreColumnResult]:
    """Measure every score column. `ours` are the detector's results of the same folds."""
    return [_measure_column(experiment, name, scored, ours) for name in scored[0].theirs]


def warnings(results: Sequence[ScoreColumnResult]) -> list[str]:
    """Return what is suspicious about the scores, in words."""
    found = []
    for result in results:
        area = result.mean["roc_auc"]
        if area is not None and area < 0.5:
            found.append(
                f"{result.column}: its ROC AUC is {area:.3f}, below 0.5. Higher scores must mean more suspicious:"
                " if it is the other way round, negate the column."
            )
    return found


def _measure_column(
    experiment: Experiment, name: str, scored: Sequence[ScoredFold], ours: Sequence[FoldResult]
) -> ScoreColumnResult:
    folds = [measure(experiment, fold.rows, fold.theirs[name]) for fold in scored]
    summary = summarise(folds)
    differences = [_difference(theirs, result.metrics) for theirs, result in zip(folds, ours, strict=True)]
    return ScoreColumnResult(
        column=name, folds=folds, mean=summary.mean, std=summary.std, difference=summarise(differences)
    )


def _difference(theirs: Metrics, ours: Metrics) -> dict[str, float | None]:
    """None where one of the two is; rows and frauds are the same on both sides."""
    pairs = {name: (value, ours[name]) for name, value in theirs.items() if name not in {"rows", "frauds"}}
    return {name: None if one is None or other is None else one - other for name, (one, other) in pairs.items()}
