"""Panels of the dashboards in one style, as the TOML files in `boards` define them.

Every panel has a title, a description, queries by legend (`{{label}}` is replaced by the label's value), a width on
Grafana's grid of 24 columns, and usually a page of the runbook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

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
from msgspec import Struct, field

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOK: Final = "docs/runbook"
MONEY: Final = "money"
"""Unit of series whose name ends in a currency. Currencies without a sign in Grafana are shown as plain numbers."""
_SIGNS: Final = {".*EUR": "currencyEUR", ".*USD": "currencyUSD", ".*GBP": "currencyGBP"}

P = TypeVar("P", timeseries.Panel, stat.Panel, statetimeline.Panel)
Q = TypeVar("Q", timeseries.Panel, stat.Panel)


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """Colour of values from `minimum` on. The first step has no minimum."""

    colour: str
    minimum: int | float | None = field(name="from", default=None)


class State(Struct, frozen=True, forbid_unknown_fields=True):
    """Text and colour of one value of a state timeline."""

    text: str
    colour: str


class _Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    title: str
    about: str
    queries: dict[str, str]
    runbook: str | None = None

    def _described(self, panel: P, width: int, height: int) -> P:
        page = "" if self.runbook is None else f"\n\nRunbook: `{RUNBOOK}/{self.runbook}.md`"
        panel.title(self.title).description(self.about + page)
        return panel.datasource(SOURCE).targets(_targets(self.queries)).span(width).height(height)


class Series(_Definition, frozen=True, kw_only=True, tag="series"):
    """Lines over time. `limit` is drawn as a dashed line; `colours` are by the legend of a series."""

    unit: str
    width: int = 8
    limit: int | float | None = None
    maximum: int | float | None = None
    stacked: bool = False
    colours: dict[str, str] = {}

    def build(self) -> timeseries.Panel:
        """Return the panel."""
        panel = (
            self._described(timeseries.Panel(), self.width, height=8)
            .axis_soft_min(0)
            .line_width(1)
            .fill_opacity(30 if self.stacked else 5)
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
        if self.stacked:
            panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        if self.limit is not None:
            panel.thresholds(_thresholds([Step("green"), Step("red", self.limit)]))
            panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        if self.maximum is not None:
            panel.max(self.maximum)
        for name, colour in self.colours.items():
            panel.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
        return _with_unit(panel, self.unit)


class Number(_Definition, frozen=True, kw_only=True, tag="number"):
    """The newest value in large type, in the colour of its step."""

    unit: str
    width: int = 4
    steps: tuple[Step, ...] = (Step("blue"),)
    decimals: int | None = None

    def build(self) -> stat.Panel:
        """Return the panel."""
        panel = (
            self._described(stat.Panel(), self.width, height=4)
            .color_mode(BigValueColorMode.VALUE)
            .graph_mode(BigValueGraphMode.NONE)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
            .thresholds(_thresholds(self.steps))
            .no_value("nothing yet")
        )
        if self.decimals is not None:
            panel.decimals(self.decimals)
        return _with_unit(panel, self.unit)


class StateTimeline(_Definition, frozen=True, kw_only=True, tag="states"):
    """A bar over time. Value 0 has the text and colour of the first state, value 1 of the second, and so on."""

    width: int
    states: tuple[State, ...]

    def build(self) -> statetimeline.Panel:
        """Return the panel."""
        texts = {
            str(value): ValueMappingResult(text=state.text, color=state.colour, index=value)
            for value, state in enumerate(self.states)
        }
        return (
            self._described(statetimeline.Panel(), self.width, height=4)
            .mappings([ValueMap(options=texts)])
            .merge_values(True)
            .show_value(VisibilityMode.AUTO)
            .legend(common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.LIST))
        )


Panel = Series | Number | StateTimeline


def _with_unit(panel: Q, unit: str) -> Q:
    if unit != MONEY:
        return panel.unit(unit)
    panel.unit("none").decimals(0)
    for name, sign in _SIGNS.items():
        panel.override_by_regexp(name, [DynamicConfigValue("unit", sign)])
    return panel


def _targets(queries: Mapping[str, str]) -> list[Builder[Dataquery]]:
    return [
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(expression)
        .legend_format(legend)
        .ref_id(chr(ord("A") + number))
        .range()
        for number, (legend, expression) in enumerate(queries.items())
    ]


def _thresholds(steps: Sequence[Step]) -> ThresholdsConfig:
    thresholds = [Threshold(value=step.minimum, color=step.colour) for step in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(thresholds)
