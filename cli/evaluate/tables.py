"""The tables that an evaluation prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich import box
from rich.markup import escape
from rich.table import Table

from cli.evaluate.confidence import Confidence, Intervals
from cli.evaluate.run import FoldResult, Summary, card_precision_name
from cli.evaluate.score_columns import ScoreColumnResult

NOTHING: Final = "-"


def results_table(caption: str, labels: Iterable[str], numbers: Iterable[str]) -> Table:
    """Return an empty table with these headings: `labels` are aligned to the left, `numbers` to the right."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    for heading in labels:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def measures(cards_a_day: int) -> dict[str, str]:
    """The metrics that are shown, and their headings. `cards_a_day` is the k of card precision."""
    return {
        "roc_auc": "ROC\nAUC",
        "average_precision": "avg.\nprec.",
        card_precision_name(cards_a_day): f"card\nprec.\n@{cards_a_day}",
        "recall_at_fpr_0_1_percent": "recall\n0.1 %\nFPR",
        "recall_at_fpr_1_percent": "recall\n1 %\nFPR",
        "expected_cost": "exp.\ncost",
    }


def folds_table(
    folds: Sequence[FoldResult], summary: Summary, cards_a_day: int, confidence: Confidence | None
) -> Table:
    """The folds, their mean and standard deviation, and the ends of the confidence interval of the mean."""
    caption = (
        f"avg. prec.: average precision; card prec. @{cards_a_day}: card precision at {cards_a_day} cards a day; recall"
        " at that false-positive rate; exp. cost: share of what approving everything would cost, lower is better."
    )
    shown = measures(cards_a_day)
    if confidence is not None:
        caption += f" {in_words(confidence)}"
    table = results_table(caption, ["fold", "tested\nfrom"], ["rows", "frauds", *shown.values()])
    for result in folds:
        table.add_row(str(result.fold), str(result.test.first_day), *_cells(result.metrics, shown))
    table.add_section()
    table.add_row("mean", "", *_cells(summary.mean, shown))
    table.add_row("std", "", *_cells(summary.std, shown))
    if confidence is not None and confidence.note is None:
        for end in ("low", "high"):
            values = [getattr(confidence.mean[name], end, None) for name in shown]
            table.add_row(end, "", "", "", *(_share(value) for value in values))
    return table


def score_columns_table(
    results: Sequence[ScoreColumnResult], ours: Summary, cards_a_day: int, confidence: Confidence | None
) -> Table:
    """Means over the folds: ours, and those of each score column with the differences to ours."""
    shown = measures(cards_a_day)
    caption = (
        "Means over the same test rows. Difference: theirs - ours; after ±, the standard deviation of the paired"
        " differences. exp. cost: the same policy, on scores calibrated on the training rows."
    )
    if confidence is not None and confidence.note is None:
        caption += f" Below it: the {confidence.level:.3g} confidence interval of the difference."
    table = results_table(caption, ["scores"], shown.values())
    table.add_row("cardwatch", *(_share(ours.mean[name]) for name in shown))
    for result in results:
        table.add_section()
        table.add_row(escape(result.column), *(_share(result.mean[name]) for name in shown))
        table.add_row("difference", *(_share(result.difference.mean[name], "+.3f") for name in shown))
        table.add_row("±", *(_share(result.difference.std[name]) for name in shown))
        if confidence is not None and confidence.note is None:
            found: Intervals = confidence.score_columns[result.column].difference
            for end in ("low", "high"):
                table.add_row(end, *(_share(getattr(found[name], end, None), "+.3f") for name in shown))
    return table


def in_words(confidence: Confidence, place: str = "low, high") -> str:
    """Say what the confidence interval is and in which `place` it stands, or why there is none."""
    if confidence.note is not None:
        return confidence.note[:1].upper() + confidence.note[1:] + "."
    return (
        f"{place}: {confidence.level:.3g} confidence interval of the mean, if other cards of the same population had"
        f" been tested in the same periods by the same models ({confidence.resamples:,} resamples of the cards)."
    )


def _cells(values: Mapping[str, float | None], shown: Iterable[str]) -> list[str]:
    counts = [NOTHING if (value := values[name]) is None else f"{value:,.0f}" for name in ("rows", "frauds")]
    return counts + [_share(values[name]) for name in shown]


def _share(value: float | None, form: str = ".3f") -> str:
    return NOTHING if value is None else format(value, form)
