"""Panels in one style: what a panel says, what to do about it, and its page in the runbook are part of its making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

Panel = timeseries.Panel | stat.Panel | statetimeline.Panel

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOK: Final = "docs/runbook"
GREEN, YELLOW, RED, BLUE, PURPLE = "green", "yellow", "red", "blue", "purple"
MONEY: Final = "money"
"""The unit of series whose name ends in their currency; where no sign is known for it, they are plain numbers."""
_SIGNS: Final = {".*EUR": "currencyEUR", ".*USD": "currencyUSD", ".*GBP": "currencyGBP"}


class Query(NamedTuple):
    """A question to Prometheus, and what its series are called: `{{label}}` is replaced by the label's value."""

    expr: str
    legend: str


Steps = Sequence[tuple[float | None, str]]
"""Colours from a value on; the first is from None, the bottom."""


def series(
    title: str,
    about: str,
    *queries: Query,
    unit: str,
    width: int = 8,
    runbook: str | None = None,
    limit: float | None = None,
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """Lines over time. `limit` is drawn as a dashed line, `colours` are by the series' names."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(_described(about, runbook))
        .datasource(SOURCE)
        .targets(_targets(queries))
        .axis_soft_min(0)
        .span(width)
        .height(8)
        .line_width(1)
        .fill_opacity(30 if stacked else 5)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if limit is not None:
        panel.thresholds(_steps([(None, GREEN), (limit, RED)]))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    _measure(panel, unit)
    return panel


def number(
    title: str,
    about: str,
    *queries: Query,
    unit: str,
    width: int = 4,
    runbook: str | None = None,
    steps: Steps = ((None, BLUE),),
    decimals: int | None = None,
) -> stat.Panel:
    """The newest value, large and in the colour of its step."""
    panel = (
        stat.Panel()
        .title(title)
        .description(_described(about, runbook))
        .datasource(SOURCE)
        .targets(_targets(queries))
        .span(width)
        .height(4)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(_steps(steps))
        .no_value("nothing yet")
    )
    if decimals is not None:
        panel.decimals(decimals)
    _measure(panel, unit)
    return panel


def states(
    title: str,
    about: str,
    query: Query,
    names: Mapping[int, tuple[str, str]],
    *,
    width: int,
    runbook: str | None = None,
) -> statetimeline.Panel:
    """A bar over time, with a text and a colour for each value that it may have."""
    texts = {
        str(value): ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(names.items())
    }
    return (
        statetimeline.Panel()
        .title(title)
        .description(_described(about, runbook))
        .datasource(SOURCE)
        .targets(_targets([query]))
        .span(width)
        .height(4)
        .mappings([ValueMap(options=texts)])
        .merge_values(True)
        .show_value(VisibilityMode.AUTO)
        .legend(common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.LIST))
    )


def _described(about: str, runbook: str | None) -> str:
    return about if runbook is None else f"{about}\n\nRunbook: `{RUNBOOK}/{runbook}.md`"


def _measure(panel: timeseries.Panel | stat.Panel, unit: str) -> None:
    if unit != MONEY:
        panel.unit(unit)
        return
    panel.unit("none").decimals(0)
    for name, sign in _SIGNS.items():
        panel.override_by_regexp(name, [DynamicConfigValue("unit", sign)])


def _targets(queries: Sequence[Query]) -> list[Builder[Dataquery]]:
    return [
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id(chr(ord("A") + place))
        .range()
        for place, query in enumerate(queries)
    ]


def _steps(steps: Steps) -> ThresholdsConfig:
    thresholds = [Threshold(value=value, color=colour) for value, colour in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(thresholds)
