"""The report of an evaluation: one HTML file that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from cli.evaluate.confidence import Confidence, Intervals
from cli.evaluate.document import EvaluationReport
from cli.evaluate.families import COMPARED
from cli.evaluate.outputs import writing
from cli.evaluate.plots import draw_curves
from cli.evaluate.run import Experiment, card_precision_name
from cli.evaluate.scored_fold import ScoredFold
from cli.evaluate.tables import in_words
from cli.templates import render

NOTHING: Final = "\N{EN DASH}"


class TableRow(Struct, frozen=True, kw_only=True):
    """A row of a table of the report."""

    name: str
    cells: list[str]
    is_key: bool = False


def write_report(path: Path, document: EvaluationReport, experiment: Experiment, scored: Sequence[ScoredFold]) -> None:
    """Write the report to `path`. Raises `Misconfigured` if it cannot be written."""
    with writing("--report", path) as place:
        place.write_text(_page(document, experiment, scored), encoding="utf-8")


def _page(document: EvaluationReport, experiment: Experiment, scored: Sequence[ScoredFold]) -> str:
    names = _names(document.card_precision_k)
    return render(
        Path(__file__).with_name("report.html.j2"),
        data=document.data,
        protocol=document.protocol,
        headings=list(names.values()),
        key_figures=_key_figures(document, names),
        folds=_fold_rows(document, names),
        score_columns=_score_column_rows(document, names),
        families=_family_rows(document),
        compared=list(COMPARED.values()),
        plots=draw_curves(experiment, scored),
        confidence=None if document.confidence is None else in_words(document.confidence, "Below each mean"),
        policy=document.policy,
        costs=_costs(document, experiment.dataset.fields.amount.digits),
        card_precision_k=document.card_precision_k,
        schema=document.feature_schema,
    )


def _names(cards_a_day: int) -> dict[str, str]:
    return {
        "average_precision": "average precision",
        "roc_auc": "ROC AUC",
        card_precision_name(cards_a_day): f"card precision @{cards_a_day}",
        "recall_at_fpr_0_1_percent": "recall at 0.1 % FPR",
        "recall_at_fpr_1_percent": "recall at 1 % FPR",
        "expected_cost": "expected cost",
    }


def _key_figures(document: EvaluationReport, names: dict[str, str]) -> list[tuple[str, str, str]]:
    """Name, mean over the folds, and its interval or standard deviation."""
    figures = []
    for name, heading in names.items():
        spread = _interval(_mean_intervals(document.confidence), name)
        deviation = document.std[name]
        if not spread and deviation is not None:
            spread = f"± {deviation:.3f} over the folds"
        figures.append((heading, _number(document.mean[name]), spread))
    return figures


def _fold_rows(document: EvaluationReport, names: Iterable[str]) -> list[TableRow]:
    rows = [
        TableRow(
            name=f"{fold.fold}: {fold.test.first_day} to {fold.test.last_day}",
            cells=[f"{fold.test.rows:,}", f"{fold.test.frauds:,}", *(_number(fold.metrics[name]) for name in names)],
        )
        for fold in document.folds
    ]
    for name, values in (("mean", document.mean), ("standard deviation", document.std)):
        counts = [NOTHING if (count := values[key]) is None else f"{count:,.0f}" for key in ("rows", "frauds")]
        rows.append(
            TableRow(name=name, cells=[*counts, *(_number(values[key]) for key in names)], is_key=name == "mean")
        )
    return rows + [
        TableRow(name=name, cells=["", "", *cells])
        for name, cells in _ends(_mean_intervals(document.confidence), names)
    ]


def _score_column_rows(document: EvaluationReport, names: Iterable[str]) -> list[TableRow]:
    """Empty without score columns."""
    if not document.score_columns:
        return []
    rows = [TableRow(name="cardwatch", cells=[_number(document.mean[name]) for name in names], is_key=True)]
    for result in document.score_columns:
        rows.append(TableRow(name=result.column, cells=[_number(result.mean[name]) for name in names], is_key=True))
        difference = result.difference
        rows.append(
            TableRow(name="difference to cardwatch", cells=[_number(difference.mean[name], "+.3f") for name in names])
        )
        confidence = document.confidence
        if confidence is not None and confidence.note is None:
            intervals = confidence.score_columns[result.column].difference
            rows += [TableRow(name=name, cells=cells) for name, cells in _ends(intervals, names, "+.3f")]
        else:
            rows.append(
                TableRow(name="its standard deviation", cells=[_number(difference.std[name]) for name in names])
            )
    return rows


def _family_rows(document: EvaluationReport) -> list[TableRow]:
    rows = []
    for result in sorted(document.families, key=lambda result: result.difference.mean["average_precision"] or 0.0):
        differences = [
            f"{_number(result.difference.mean[name], '+.3f')} ± {_number(result.difference.std[name])}"
            for name in COMPARED
        ]
        rows.append(TableRow(name=result.family, cells=[str(result.features), *differences]))
    return rows


def _costs(document: EvaluationReport, digits: int) -> dict[str, str]:
    costs, currency = document.policy.costs, document.data.currency

    def money(minor: float) -> str:
        return f"{minor / 10**digits:,.{digits}f} {currency}"

    return {
        "challenge of a genuine transaction": money(costs.challenge_cost_minor),
        "decline of a genuine transaction": f"{money(costs.decline_cost_minor)} + {100 * costs.lost_margin:g} % of it",
        "fraud that a challenge stops": f"{100 * costs.challenge_stops_fraud:g} %",
        "channels with a challenge": ", ".join(channel.value for channel in costs.challenge_channels) or "none",
        "chargeback of an approved fraud": money(costs.chargeback_fee_minor),
        "alert": money(costs.alert_cost_minor + costs.alert_price_minor),
    }


def _mean_intervals(confidence: Confidence | None) -> Intervals:
    return {} if confidence is None else confidence.mean


def _interval(intervals: Intervals, name: str) -> str:
    interval = intervals.get(name)
    return "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"


def _ends(intervals: Intervals, names: Iterable[str], form: str = ".3f") -> list[tuple[str, list[str]]]:
    """Two rows, or none without intervals: a row of intervals would be wider than a page."""
    if not intervals:
        return []
    return [
        (f"interval, {end}", [_number(getattr(intervals[name], end, None), form) for name in names])
        for end in ("low", "high")
    ]


def _number(value: float | None, form: str = ".3f") -> str:
    return NOTHING if value is None else format(value, form).replace("-", "\N{MINUS SIGN}")
