"""The value of each family of features: every fold is repeated without it and compared with the same fold with all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, structs
from rich.table import Table

from cardwatch.features.definitions import FAMILIES, FEATURES
from cli.evaluate.replay import Report
from cli.evaluate.run import Experiment, FoldResult, Metrics, Summary, judge_without, summarise
from cli.evaluate.tables import results_table

COMPARED: Final = {"average_precision": "avg. prec.", "recall_at_fpr_0_1_percent": "recall 0.1 % FPR"}


class FamilyResult(Struct, frozen=True, kw_only=True):
    """Results of the folds without one family, and the difference to the folds with all; negative if the family helps.

    The keys are those of `COMPARED`; `std` of `difference` is that of the paired differences.
    """

    family: str
    features: int
    without: Summary
    difference: Summary


def run_families(experiment: Experiment, with_all: list[FoldResult], report: Report) -> list[FamilyResult]:
    """Train and test every fold without each family in turn. `with_all`: the results of the very same folds."""
    metrics = [result.metrics for result in with_all]
    return [compare(family, list(_leave_out(family, experiment, report)), metrics) for family in FAMILIES]


def columns_of(family: str) -> tuple[int, ...]:
    """The positions in a feature row that belong to this family."""
    return tuple(position for position, feature in enumerate(FEATURES) if feature.family == family)


def compare(family: str, without: Sequence[Metrics], with_all: Sequence[Metrics]) -> FamilyResult:
    """Compare the results of the same folds without this family and with all."""
    measured = [_compared(metrics) for metrics in without]
    differences = [_differences(here, _compared(metrics)) for here, metrics in zip(measured, with_all, strict=True)]
    return FamilyResult(
        family=family,
        features=len(columns_of(family)),
        without=summarise(measured),
        difference=summarise(differences),
    )


def _leave_out(family: str, experiment: Experiment, report: Report) -> Iterator[Metrics]:
    for chosen in experiment.folds:
        report(f"without {family}: fold {chosen.fold.number} of {len(experiment.folds)}")
        yield structs.asdict(judge_without(experiment, chosen, columns_of(family)))


def _compared(metrics: Metrics) -> dict[str, float | None]:
    return {name: metrics[name] for name in COMPARED}


def _differences(measured: dict[str, float | None], base: dict[str, float | None]) -> dict[str, float | None]:
    """Return the differences, None where one of the two values is None."""
    pairs = {name: (measured[name], base[name]) for name in COMPARED}
    return {name: None if one is None or other is None else one - other for name, (one, other) in pairs.items()}


CAPTION: Final = (
    "Every fold trained and tested again without one family. Means over the folds; after ±, the standard deviation of"
    " the paired differences. Below zero: the family helps."
)


def families_table(results: list[FamilyResult]) -> Table:
    """The families, the one that is missed most first."""
    differences = (f"{name}\ndifference" for name in COMPARED.values())
    table = results_table(CAPTION, ["without"], ["features", "avg. prec.", *differences])
    for result in sorted(results, key=lambda result: result.difference.mean["average_precision"] or 0.0):
        table.add_row(
            result.family,
            str(result.features),
            _number(result.without.mean["average_precision"], ".3f"),
            *(f"{_number(result.difference.mean[name], '+.3f')} ± {_number(result.difference.std[name], '.3f')}"
              for name in COMPARED),
        )  # fmt: skip
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
