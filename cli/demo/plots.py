"""The plots of the demo's report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cli.charts import ALARM, CAUGHT, INK, MISSED, SERIES, as_svg, new_figure, variable_of
from cli.demo.formatting import by_version, milliseconds
from cli.demo.summary import Facts, Timings

_MAX_FEATURES: Final = 14
_NAME_DAYS: Final = 6


class Moment(NamedTuple):
    """A vertical line: between the day before and this day."""

    day: date
    name: str
    colour: str


def average_precision(facts: Facts) -> str:
    """Average precision by day, rolling, coloured by champion, with what happened when."""
    figure, axes = new_figure("average-precision")
    for phase in facts.phases:
        days = [day for day in facts.days if phase.first_day <= day.day <= phase.last_day]
        colour = by_version(SERIES, days[-1].version)
        alone = [(day.day, day.quality.average_precision) for day in days]
        axes.plot(*_columns(alone), "o", color=colour, alpha=0.35, markersize=3.5, markeredgewidth=0)
        rolling = [(day.day, day.average_precision) for day in days]
        axes.plot(*_columns(rolling), color=colour, linewidth=2.2, solid_capstyle="round")
        axes.hlines(
            phase.quality.average_precision or 0.0,
            _edge(phase.first_day),
            _edge(phase.last_day) + 1,
            colors=colour,
            linewidth=0.9,
            linestyles=(0, (1, 2)),
        )
    axes.set_ylim(0, 1)
    axes.set_ylabel("average precision")
    _days_below(axes, facts)
    _moments(axes, facts)
    return as_svg(figure)


def drift(facts: Facts) -> str:
    """Which features the monitor called drifted on which day, the most frequent on top."""
    seen = Counter(name for day in facts.days for name in day.drifted_features)
    names = [name for name, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:_MAX_FEATURES]]
    rows = max(1, len(names))
    height = 0.25 * rows + 0.3
    figure, (share, grid) = new_figure("drift", 1.6 + height, nrows=2, sharex=True, height_ratios=[1.6, height])
    days = [_edge(day.day) for day in facts.days]
    share.bar(days, [day.drift_share for day in facts.days], width=0.9, align="edge", color=ALARM, alpha=0.8)
    share.set_ylim(0, max(0.3, *(day.drift_share for day in facts.days)) * 1.05)
    share.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    share.yaxis.set_major_locator(MaxNLocator(4))
    share.set_ylabel("share of features")
    for row, name in enumerate(names):
        drifted = [_edge(day.day) for day in facts.days if name in day.drifted_features]
        grid.barh([row] * len(drifted), 0.9, left=drifted, height=0.62, color=ALARM, alpha=0.8)
    grid.set_yticks(range(len(names)), names)
    grid.set_ylim(rows - 0.5, -0.5)
    grid.grid(visible=False)
    _days_below(grid, facts)
    _moments(share, facts)
    return as_svg(figure)


def fraud_value(facts: Facts) -> str:
    """Value of fraud per day, caught and missed."""
    figure, axes = new_figure("fraud-value")
    days = [_edge(day.day) for day in facts.days]
    caught = [day.quality.caught_minor / 100 for day in facts.days]
    missed = [day.quality.missed_minor / 100 for day in facts.days]
    axes.bar(days, caught, width=0.8, align="edge", color=CAUGHT)
    axes.bar(days, missed, width=0.8, align="edge", bottom=caught, color=MISSED)
    axes.set_ylabel(f"{facts.currency} per day".strip())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.margins(y=0.05)
    _days_below(axes, facts)
    _moments(axes, facts)
    return as_svg(figure)


def latency(timings: Timings) -> str:
    """Plot the latency of decisions at the fixed rate, with its percentiles."""
    figure, axes = new_figure("latency")
    axes.stairs(timings.histogram, timings.histogram_edges_ms, fill=True, color=SERIES[0], alpha=0.75)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: milliseconds(value)))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.set_ylabel("decisions")
    axes.margins(y=0.05)
    percentiles = (("p50", timings.p50_ms), ("p95", timings.p95_ms), ("p99", timings.p99_ms))
    for line, (name, value) in enumerate(percentiles):
        if value is not None:
            axes.axvline(value, color=INK, linewidth=1, linestyle=(0, (3, 2)))
            _name(axes, value, f"{name} {milliseconds(value)}", INK, line=line)
    return as_svg(figure)


def version_variable(version: str | None) -> str:
    """The CSS variable, without its dashes, that colours this model version."""
    return variable_of(by_version(SERIES, version))


def _edge(day: date) -> int:
    """Return the position of a day's beginning on the axis: matplotlib counts days from 1970."""
    return (day - date(1970, 1, 1)).days


def _columns(points: Sequence[tuple[date, float | None]]) -> tuple[list[float], list[float]]:
    """Days, drawn at noon, and values; days without one are left out."""
    known = [(_edge(day) + 0.5, value) for day, value in points if value is not None]
    return [day for day, _ in known], [value for _, value in known]


def _days_below(axes: Any, facts: Facts) -> None:
    first, last = facts.days[0].day, facts.days[-1].day
    axes.set_xlim(_edge(first) - 0.3, _edge(last) + 1.3)
    locator = AutoDateLocator(minticks=4, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def _moments(axes: Any, facts: Facts) -> None:
    line, named_until = 0, 0
    first, end = _edge(facts.days[0].day), _edge(facts.days[-1].day) + 1
    for moment in _happened(facts):
        x = _edge(moment.day)
        if not first <= x <= end:
            continue
        line = 1 - line if x < named_until else 0
        named_until = x + _NAME_DAYS
        axes.axvline(x, color=moment.colour, linewidth=1.2, linestyle=(0, (3, 2)))
        _name(axes, x, moment.name, moment.colour, line=line)


def _happened(facts: Facts) -> list[Moment]:
    """Detection and promotion stand at the end of their day; where both are one, so is the line."""
    found = [Moment(facts.plan.change_day, "change", MISSED)] if facts.plan.change_day else []
    promoted = facts.promotion
    if facts.detection is not None:
        same = promoted is not None and promoted.day == facts.detection.day
        name = f"detected, v{promoted.version} promoted" if same and promoted else "detected"
        found.append(Moment(date.fromordinal(facts.detection.day.toordinal() + 1), name, ALARM))
        if same:
            return found
    if promoted is not None:
        found.append(Moment(date.fromordinal(promoted.day.toordinal() + 1), f"v{promoted.version} promoted", CAUGHT))
    return found


def _name(axes: Any, x: float, text: str, colour: str, line: int = 0) -> None:
    axes.annotate(
        text,
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3 + 12 * line),
        textcoords="offset points",
        va="bottom",
        color=colour,
        fontsize=9,
    )
