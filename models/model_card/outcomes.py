"""Sections of the model card on outcomes: performance with intervals, slices, calibration, single days."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardwatch.promotion.evidence import APPROVE, JudgedModel
from cardwatch.promotion.score_quality import ScoreQuality
from cardwatch.promotion.verdict import SliceResult
from models.card_bootstrap import MINIMUM_DEFRAUDED_CARDS, Interval
from models.judged_intervals import JudgedIntervals, judged_intervals
from models.model_card.development import further_figures
from models.model_card.markdown import UNKNOWN, count, percent, plain, ratio, table
from models.model_card.subject import CardSubject, weighted_costs


def performance(subject: CardSubject) -> str:
    """Return the figures of the verdict with their intervals."""
    report, promotion = subject.report, subject.policies.promotion
    own = _intervals(subject, subject.evidence.challenger)
    champion = _intervals(subject, subject.evidence.champion) if subject.evidence.champion else JudgedIntervals()
    figures = table(
        ["with weights", "this model", "champion"],
        [
            [title, _with_interval(name, report.challenger, own), _with_interval(name, report.champion, champion)]
            for name, title in (
                ("average_precision", "average precision"),
                ("recall", "recall at 0.1 % false positives"),
                ("relative_cost", "cost over approving all"),
            )
        ]
        + [
            ["cost, minor units", count(report.challenger.cost_minor), _of(report.champion, "cost_minor")],
            ["alerts", count(report.challenger.alerts), _of(report.champion, "alerts")],
            [
                "share of alerts that is fraud",
                percent(report.challenger.alert_precision),
                percent(report.champion.alert_precision) if report.champion else UNKNOWN,
            ],
        ],
    )
    saving = report.saving
    if saving is None:
        saved = "Nothing is saved over a champion, because none is compared."
    else:
        bound = (
            "no lower bound can be given" if saving.lower_bound is None else f"at least {percent(saving.lower_bound)}"
        )
        saved = (
            f"**Saving**: {percent(saving.saving)} of the champion's cost, with {1 - saving.error_rate:.0%} confidence "
            f"{bound}; more than {percent(promotion.minimum_gain)} is required. The costs of "
            f"{count(saving.differing_cards)} of {count(saving.cards)} cards differ; the card that matters most is "
            f"{percent(saving.largest_card)} of the champion's cost."
        )
    return (
        f"Brackets are 95 % intervals over cards, given from {MINIMUM_DEFRAUDED_CARDS} defrauded cards on; another "
        f"period is not in them. A dash is a figure that the rows cannot give.\n\n{figures}\n\n{saved}\n\n"
        f"{further_figures(subject.challenger, subject.champion)}"
    )


def slices(subject: CardSubject) -> str:
    """Return what the model costs in each slice, those first that the gate requires."""
    report, promotion = subject.report, subject.policies.promotion
    if not report.slices:
        return "Slices are compared with the champion's, and none is compared. " + _slice_frauds(subject)
    gated = [each for each in report.slices if each.required]
    reported = [each for each in report.slices if not each.required]
    parts = [
        f"*Required*: at least {promotion.slice_minimum_frauds:,} frauds; the increase of the cost must be at most "
        f"{percent(promotion.slice_margin)} of the slice's fraud, with {1 - promotion.slice_error_rate:.0%} "
        "confidence.",
        _slices(gated) if gated else "No slice has so many frauds.",
        "*Reported only*:",
        _slices(reported) if reported else "none",
    ]
    return "\n\n".join([*parts, _slice_frauds(subject)])


def calibration(subject: CardSubject) -> str:
    """Return how well probabilities agree with what happened."""
    judged, quality = subject.report.challenger, subject.facts.calibration_quality
    expected = judged.expected_frauds / judged.weighted_frauds if judged.weighted_frauds else None
    return (
        table(
            ["", "judged rows", "training rows, cards not seen"],
            [
                ["Brier score", ratio(judged.brier, 5), ratio(quality.get("brier"), 5)],
                [
                    "expected calibration error",
                    ratio(judged.calibration_error, 5),
                    ratio(quality.get("expected_calibration_error"), 5),
                ],
                [
                    "expected over observed frauds",
                    ratio(expected, 2),
                    ratio(quality.get("expected_to_observed"), 2),
                ],
            ],
        )
        + "\n\nReliability plots: `reliability_judged.svg` of the judged rows, and `reliability.svg` beside the model "
        "of its training rows.\n\n![Reliability on the judged rows](reliability_judged.svg)"
    )


def days_of_judging(subject: CardSubject) -> str:
    """Return the figures of each judged day."""
    rows = subject.evidence
    approval = weighted_costs(subject, np.full(len(rows.days), APPROVE, np.int8))
    own = weighted_costs(subject, rows.challenger.actions)
    before = weighted_costs(subject, rows.champion.actions) if rows.champion else None
    lines = []
    for day in np.unique(rows.days):
        today = rows.days == day
        lines.append(
            [
                str(np.datetime64(int(day), "D")),
                count(int(today.sum())),
                count(int(rows.is_fraud[today].sum())),
                _relative(own, approval, today),
                UNKNOWN if before is None else _relative(before, approval, today),
            ]
        )
    return table(["day", "transactions", "frauds", "cost over approving all", "champion's"], lines)


def _intervals(subject: CardSubject, model: JudgedModel) -> JudgedIntervals:
    rows = subject.evidence
    return judged_intervals(
        model.margins,
        rows.is_fraud,
        rows.weight,
        rows.cards,
        cost_minor=weighted_costs(subject, model.actions),
        approval_cost_minor=weighted_costs(subject, np.full(len(rows.days), APPROVE, np.int8)),
    )


def _with_interval(name: str, quality: ScoreQuality | None, intervals: JudgedIntervals) -> str:
    if quality is None:
        return UNKNOWN
    interval: Interval | None = getattr(intervals, name)
    shown = ratio(getattr(quality, name))
    return shown if interval is None else f"{shown} ({interval.low:.3f} to {interval.high:.3f})"


def _of(quality: ScoreQuality | None, name: str) -> str:
    return UNKNOWN if quality is None else count(getattr(quality, name))


def _slices(results: list[SliceResult]) -> str:
    return table(
        ["slice", "transactions", "frauds", "cost", "champion's", "increase", "at most", "result"],
        [
            [
                plain(f"{each.division} {each.name}"),
                count(each.rows),
                count(each.frauds),
                ratio(each.challenger_cost),
                ratio(each.champion_cost),
                percent(each.increase),
                percent(each.increase_at_most),
                ("passed" if each.passed else "FAILED") if each.required else "reported",
            ]
            for each in results
        ],
    )


def _slice_frauds(subject: CardSubject) -> str:
    cells = [
        [plain(f"{division} {name}"), count(frauds)]
        for division, names in sorted(subject.population.slice_frauds.items())
        for name, frauds in names.items()
    ]
    return f"Frauds in the training rows:\n\n{table(['slice', 'frauds'], cells)}"


def _relative(cost: NDArray[Any], approval: NDArray[Any], rows: NDArray[np.bool_]) -> str:
    base = float(approval[rows].sum())
    return ratio(float(cost[rows].sum()) / base if base > 0 else None)
