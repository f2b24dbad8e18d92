"""The curves of an evaluation's report: precision and recall, calibration, cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS
from cardwatch.events import Action
from cli.charts import QUIET, SERIES, Plot, as_svg, new_figure, variable_of
from cli.evaluate.curves import (
    ALERT_SHARES,
    RECALLS,
    calibration_curve,
    mean_curve,
    precisions_at_recalls,
    relative_costs,
)
from cli.evaluate.run import Experiment
from cli.evaluate.scored_fold import ModelScores, ScoredFold

OURS: Final = "cardwatch"
_WIDTH, _HEIGHT = 4.3, 3.5
"""Inches: two charts stand side by side on a wide page, and on a narrow one the text is as large as the page's."""
_LOWEST_SHARE: Final = 5e-4
"""Where the axes of the calibration begin; what is lower is drawn there."""
_LOWEST_ALERTS: Final = float(ALERT_SHARES[1])
_LINE_STYLES: Final = ("-", (0, (5, 2)), (0, (1, 1)), (0, (6, 2, 1, 2)))
_LINE_NAMES: Final = ("", " (dashed)", " (dotted)", " (dash-dotted)")
"""Not everybody tells the colours apart."""


_APPROVE, _CHALLENGE, _DECLINE = (ACTIONS.index(action) for action in Action)


class ScoredModel(Struct, frozen=True, kw_only=True):
    """A model as the curves see it: its scores of every fold, and its colour."""

    name: str
    scores: list[ModelScores]
    colour: str
    line: Any
    is_ours: bool


def draw_curves(experiment: Experiment, scored: Sequence[ScoredFold]) -> list[Plot]:
    """Draw the three curves of the detector and of every score column."""
    models = [_model(OURS, [fold.ours for fold in scored], 0, is_ours=True)]
    for place, name in enumerate(scored[0].theirs, 1):
        models.append(_model(name, [fold.theirs[name] for fold in scored], place, is_ours=False))
    is_fraud = [experiment.dataset.is_fraud[fold.rows.test.rows] for fold in scored]
    return [
        _precision_recall(models, is_fraud),
        _calibration(models, is_fraud),
        _cost(experiment, models, is_fraud, [fold.rows.test.rows for fold in scored]),
    ]


def _model(name: str, scores: list[ModelScores], place: int, *, is_ours: bool) -> ScoredModel:
    return ScoredModel(
        name=name,
        scores=scores,
        colour=SERIES[place % len(SERIES)],
        line=_LINE_STYLES[place % len(_LINE_STYLES)],
        is_ours=is_ours,
    )


def _precision_recall(models: Sequence[ScoredModel], is_fraud: Sequence[NDArray[np.bool_]]) -> Plot:
    figure, axes = new_figure("precision-recall", _HEIGHT, _WIDTH)
    said = []
    for model in models:
        curves = [
            precisions_at_recalls(scores.values, fraud) for scores, fraud in zip(model.scores, is_fraud, strict=True)
        ]
        if model.is_ours:
            for curve in curves:
                axes.plot(RECALLS, curve, color=model.colour, linewidth=0.8, alpha=0.5)
        mean = mean_curve(curves)
        axes.plot(RECALLS, mean, color=model.colour, linewidth=2.2, linestyle=model.line)
        said.append(f"{model.name}: precision {_percent(mean[24])} at a recall of 25 %, {_percent(mean[74])} at 75 %")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    _percent_axes(axes)
    axes.set_xlabel("recall: share of fraud that is found")
    axes.set_ylabel("precision: share of alerts that are fraud")
    return Plot(
        "Precision and recall",
        as_svg(figure),
        "Precision by recall. " + "; ".join(said),
        "Mean of the precisions of the folds at each recall. Thin lines: each fold, for cardwatch.",
        _key(models),
    )


def _calibration(models: Sequence[ScoredModel], is_fraud: Sequence[NDArray[np.bool_]]) -> Plot:
    figure, axes = new_figure("calibration", _HEIGHT, _WIDTH)
    fraud = np.concatenate(list(is_fraud))
    axes.plot([_LOWEST_SHARE, 1], [_LOWEST_SHARE, 1], color=QUIET, linewidth=1, linestyle=(0, (3, 2)))
    said = []
    for model in models:
        bins = calibration_curve(_as_probabilities(model), fraud)
        x = np.maximum([bin.predicted for bin in bins], _LOWEST_SHARE)
        y = np.maximum([bin.observed for bin in bins], _LOWEST_SHARE)
        low, high = (np.maximum([getattr(bin, end) for bin in bins], _LOWEST_SHARE) for end in ("low", "high"))
        has_fraud = np.array([bin.frauds > 0 for bin in bins])
        axes.plot(
            x[has_fraud],
            y[has_fraud],
            color=model.colour,
            linewidth=1.4,
            linestyle=model.line,
            marker="o",
            markersize=3.5,
        )
        axes.plot(
            x[~has_fraud], y[~has_fraud], "o", color=model.colour, markerfacecolor="none", markersize=4, clip_on=False
        )
        axes.vlines(x, low, high, color=model.colour, linewidth=1.2, alpha=0.6)
        highest = bins[-1]
        said.append(
            f"{model.name}: where {_percent(highest.predicted)} is predicted, {_percent(highest.observed)} is fraud"
        )
    for scale in (axes.set_xscale, axes.set_yscale):
        scale("log")
    axes.set_xlim(_LOWEST_SHARE, 1.1)
    axes.set_ylim(_LOWEST_SHARE, 1.1)
    for axis in (axes.xaxis, axes.yaxis):
        _log_percent(axis, [0.001, 0.01, 0.1, 1.0])
    axes.set_xlabel("predicted probability of fraud")
    axes.set_ylabel("observed share of fraud")
    others = (
        " Score columns: as they are if all lie in 0..1, else calibrated on the training rows."
        if len(models) > 1
        else ""
    )
    return Plot(
        "Calibration",
        as_svg(figure),
        "Observed share of fraud by predicted probability. " + "; ".join(said),
        "All folds together, both axes logarithmic; dashed: as predicted. Bars: 95 % intervals (Wilson), rows taken as"
        f" independent. Hollow: no fraud. What is below 0.05 % is drawn at the edge.{others}",
        _key(models),
    )


def _as_probabilities(model: ScoredModel) -> NDArray[np.floating[Any]]:
    values = np.concatenate([scores.values for scores in model.scores])
    if model.is_ours or values.min() < 0 or values.max() > 1:
        return np.concatenate([scores.probabilities for scores in model.scores])
    return values


def _cost(
    experiment: Experiment,
    models: Sequence[ScoredModel],
    is_fraud: Sequence[NDArray[np.bool_]],
    rows: Sequence[NDArray[np.int64]],
) -> Plot:
    policy, kernel = experiment.policy, experiment.dataset.kernel
    amounts = [kernel["amount_minor"][places].astype(np.float64) for places in rows]
    channels = [kernel["channel"][places].astype(np.int64) for places in rows]
    costs = [
        policy.expected_costs(*of)
        for of in zip((f.astype(np.float64) for f in is_fraud), amounts, channels, strict=True)
    ]
    alert_costs = [np.where(np.isfinite(cost[:, _CHALLENGE]), cost[:, _CHALLENGE], cost[:, _DECLINE]) for cost in costs]
    figure, axes = new_figure("cost", _HEIGHT, _WIDTH)
    axes.axhline(1.0, color=QUIET, linewidth=1, linestyle=(0, (3, 2)))
    said, highest = [], 1.0
    for model in models:
        folds = [
            relative_costs(scores.values, of_alert, cost[:, _APPROVE])
            for scores, of_alert, cost in zip(model.scores, alert_costs, costs, strict=True)
        ]
        known = [curve for curve in folds if curve is not None]
        if not known:
            continue
        curve = mean_curve(known)
        axes.plot(ALERT_SHARES[1:], curve[1:], color=model.colour, linewidth=2.2, linestyle=model.line)
        lowest = int(np.argmin(curve))
        said.append(f"{model.name}: lowest at {_percent(ALERT_SHARES[lowest])} alerts, {_percent(curve[lowest])}")
        point = _policy_point(experiment, model, costs, amounts, channels)
        if point is not None:
            axes.plot(
                max(point[0], _LOWEST_ALERTS), point[1], "D", color=model.colour, markersize=6, clip_on=False, zorder=3
            )
            said[-1] += f"; the policy: {_percent(point[0])} alerts, {_percent(point[1])}"
            highest = max(highest, point[1])
    axes.set_xscale("log")
    axes.set_xlim(_LOWEST_ALERTS, 1)
    axes.set_ylim(0, min(2.0, 1.15 * highest))
    _log_percent(axes.xaxis, [0.0001, 0.001, 0.01, 0.1, 1.0])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set_xlabel("share of transactions that raise an alert")
    axes.set_ylabel("cost, relative to approving all")
    return Plot(
        "Cost",
        as_svg(figure),
        "Cost by the share of alerts. " + "; ".join(said),
        "Line: the riskiest share of the transactions is challenged, whatever the amount, or declined where the channel"
        " has no challenge; mean of the folds. Diamond:"
        " what the policy does, which knows the amount and may decline. Dashed: everything is approved.",
        _key(models),
    )


def _policy_point(
    experiment: Experiment,
    model: ScoredModel,
    costs: Sequence[NDArray[np.float64]],
    amounts: Sequence[NDArray[np.float64]],
    channels: Sequence[NDArray[np.int64]],
) -> tuple[float, float] | None:
    """Mean over the folds of the policy's share of alerts and of its relative cost, of folds that have both."""
    points = []
    for scores, cost, of, channel in zip(model.scores, costs, amounts, channels, strict=True):
        actions = experiment.policy.decide(scores.probabilities, of, channel)
        chosen = np.array([ACTIONS.index(action) for action in actions])
        approving = cost[:, _APPROVE].sum()
        if approving:
            incurred = np.take_along_axis(cost, chosen[:, None], axis=1).sum()
            points.append((float(np.mean(chosen != _APPROVE)), float(incurred / approving)))
    if not points:
        return None
    share, relative = np.mean(points, axis=0)
    return float(share), float(relative)


def _percent(share: float) -> str:
    if np.isnan(share):
        return "none"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{share:.0%}".replace("%", " %")


def _percent_axes(axes: Any) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))


def _log_percent(axis: Any, places: list[float]) -> None:
    axis.set_major_locator(FixedLocator(places))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))


def _key(models: Sequence[ScoredModel]) -> list[tuple[str, str]]:
    return [
        (variable_of(model.colour), model.name + _LINE_NAMES[place % len(_LINE_NAMES)])
        for place, model in enumerate(models)
    ]
