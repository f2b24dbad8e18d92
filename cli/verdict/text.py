"""A verdict as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.model_registry.verdict_bundle import VerdictBundle
from cardwatch.promotion.verdict import BaselineResult, SliceResult


def describe(bundle: VerdictBundle) -> str:
    """Return the reasons of the verdict, and tables of slices and baselines."""
    report, inputs = bundle.report, bundle.inputs
    against = f"version {inputs.champion_version}" if inputs.champion_version else "no champion"
    result = "PROMOTED" if report.verdict.promoted else "REFUSED"
    lines = [
        f"{result}: model {inputs.challenger_digest[:12]} against {against}",
        f"as known at the end of {inputs.as_of}: {report.rows:,} transactions, {report.frauds:,} frauds, "
        f"{report.days} days, {report.cards:,} cards",
        "",
        *report.verdict.reasons,
        *_slices(report.slices),
        *_baselines(report.baselines),
    ]
    return "\n".join(lines)


def _slices(slices: Sequence[SliceResult]) -> list[str]:
    """Costs are over the cost of approving everything."""
    if not slices:
        return []
    head = f"{'slice':40} {'frauds':>7} {'champion':>9} {'challenger':>10} {'at most':>8}"
    rows = [
        f"{each.division + ': ' + each.name:40} {each.frauds:7,} {_share(each.champion_cost):>9} "
        f"{_share(each.challenger_cost):>10} {_share(each.increase_at_most):>8}"
        f"{'' if each.passed or not each.required else '  FAILED'}{'' if each.required else '  reported only'}"
        for each in slices
    ]
    return ["", 'cost over the cost of approving everything; "at most" is the bound of the increase', head, *rows]


def _baselines(baselines: dict[str, BaselineResult]) -> list[str]:
    return ["", *(f"saved of the cost of baseline {name}: {_share(each.saving)}" for name, each in baselines.items())]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
