"""What every dashboard has alike: its frame, its one variable, the way to the others, and marks where alerts fired."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    Row,
)
from grafana_foundation_sdk.models import dashboard as made
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, VariableOption

from monitoring.dashboards.panels import GREEN, RED, RUNBOOK, SOURCE, Panel, Query, number

TAG: Final = "cardwatch"
COLUMNS: Final = 24
"""Of Grafana's grid; the panels of a line fill it."""


class Section(NamedTuple):
    """A title and the panels below it, in reading order."""

    title: str
    panels: Sequence[Panel]


def board(name: str, title: str, about: str, sections: Sequence[Section]) -> made.Dashboard:
    """A dashboard; `name` is in its address, and has to last."""
    building = (
        Dashboard(f"Cardwatch: {title}")
        .uid(f"cardwatch-{name}")
        .description(about)
        .tags([TAG])
        .timezone("browser")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-30m", "now")
        .refresh("5s")
        .variables([_datasource()])
        .link(_others())
        .annotation(_alerts())
    )
    ids = count(1)
    for section in sections:
        building.with_row(Row(section.title).id(next(ids)))
        for panel in section.panels:
            building.with_panel(panel.id(next(ids)))
    return building.build()


def firing() -> Panel:
    """How many alerts fire; with which every dashboard begins."""
    return number(
        "Alerts firing",
        "All alerts, pending ones not among them. Which they are: the marks on every panel, or /alerts of Prometheus.",
        Query('count(ALERTS{alertstate="firing"}) or vector(0)', "alerts"),
        unit="none",
        runbook="README",
        steps=((None, GREEN), (1, RED)),
    )


def _datasource() -> DatasourceVariable:
    return (
        DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(VariableOption(text="Prometheus", value="prometheus", selected=True))
    )


def _others() -> DashboardLink:
    return DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG]).keep_time(True).include_vars(True)


def _alerts() -> AnnotationQuery:
    return (
        AnnotationQuery()
        .name(f"Alerts ({RUNBOOK})")
        .datasource(SOURCE)
        .enable(True)
        .icon_color(RED)
        .expr('ALERTS{alertstate="firing"}')
    )
