"""The estimate as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cardwatch.estimator.estimator import EstimateResult, Estimator
from cardwatch.estimator.expression import names_in
from cardwatch.estimator.quantities import Basis, Unit, steps_of, tree_of
from cli.figures import SourcedFigure, shown

_SCALES: Final = {
    Unit.BYTES: ("bytes", "KB", "MB", "GB", "TB", "PB"),
    Unit.BYTES_PER_SECOND: ("bytes", "KB", "MB", "GB", "TB", "PB"),
    Unit.SECONDS: ("s", "min", "hours"),
}
"""Units in which a figure may be shown, the smallest first."""
_ORDER: Final = (Basis.GIVEN, Basis.MEASURED, Basis.CODE, Basis.ASSUMED)


def figure_text(value: float, unit: Unit) -> str:
    """Return a figure as text, with three significant digits unless it is a whole number.

    >>> figure_text(108e9, Unit.BYTES), figure_text(71.2, Unit.CORES), figure_text(0.6, Unit.SHARE)
    ('108 GB', '71.2 cores', '60 %')
    """
    if unit in _SCALES:
        text = _scaled(value, _SCALES[unit])
        return f"{text}/s" if unit is Unit.BYTES_PER_SECOND else text
    if unit is Unit.SHARE:
        return shown(SourcedFigure(value, "", ""), "%")
    if unit is Unit.DOLLARS:
        return _dollars(value)
    if unit is Unit.PERCENT:
        return f"{value:.7g} %"
    number = f"{value:,.0f}" if value == round(value) else shown(SourcedFigure(value, "", ""))
    return f"{number} {unit.value}".rstrip()


def lines(estimator: Estimator, result: EstimateResult) -> Iterator[str]:
    """Yield what is asked for, the chain step by step, the checks, and the known figures with their sources."""
    yield "Asked for"
    for each in estimator.inputs:
        value = result.given[each.name]
        is_empty = each.empty is not None and not value
        yield f"  {each.title:<40} {each.empty if is_empty else figure_text(value, each.unit)}"
    for section in estimator.sections:
        yield f"\n{section.title}"
        for step in section.steps:
            shown_value = figure_text(result.values[step.name], step.unit)
            yield f"  {step.title:<40} {shown_value:>16}  {result.basis[step.name].value:<8}  {step.formula}"
    yield ""
    yield from (f"{'holds' if check.holds else 'FAILS'}: {check.text}" for check in result.checks)
    yield "\nRests on"
    used = {name for step in steps_of(estimator.sections) for name in names_in(tree_of(step))}
    for known in sorted(estimator.known, key=lambda each: _ORDER.index(each.basis)):
        if known.name in used:
            shown_value = figure_text(known.value, known.unit)
            yield f"  {known.name:<28} {shown_value:>16}  {known.basis.value:<8}  {known.source}"


def _dollars(value: float) -> str:
    if 0 < value < 0.1:
        return f"${value:.3g}"
    return f"${value:,.2f}" if value < 100 else f"${value:,.0f}"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    figure = SourcedFigure(value, units[0], "")
    texts = [shown(figure, unit) for unit in units]
    at = 0
    while at + 1 < len(units) and float(shown(figure, f"{units[at + 1]} bare").replace(",", "")) >= 1:
        at += 1
    return texts[at]
