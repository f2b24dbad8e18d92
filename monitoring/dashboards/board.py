"""Dashboards from the TOML files in `boards`, and their JSON files for Grafana."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Final

import msgspec
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    Row,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, VariableOption
from msgspec import Struct, structs

from monitoring.dashboards.panels import RUNBOOK, SOURCE, Number, Panel, Step

DEFINITIONS: Final = Path(__file__).resolve().parent / "boards"
FOLDER: Final = Path(__file__).resolve().parent.parent / "grafana" / "dashboards"
TAG: Final = "cardwatch"
FIRING: Final = 'ALERTS{alertstate="firing"}'
ALERTS_FIRING: Final = Number(
    title="Alerts firing",
    about="All firing alerts, without pending ones. The marks on the panels and /alerts of Prometheus show which.",
    queries={"alerts": f"count({FIRING}) or vector(0)"},
    unit="none",
    runbook="README",
    steps=(Step("green"), Step("red", 1)),
)
"""Last panel of the first section of every dashboard."""


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A title and the panels below it, in reading order."""

    title: str
    panels: list[Panel]


class Board(Struct, frozen=True, forbid_unknown_fields=True):
    """Definition of a dashboard. `<name>` in the description of a panel is replaced by the text of that name."""

    title: str
    about: str
    sections: list[Section]
    texts: dict[str, str] = {}

    def build(self, name: str) -> models.Dashboard:
        """Return the dashboard. `name` is a part of its URL."""
        dashboard = (
            Dashboard(f"Cardwatch: {self.title}")
            .uid(f"cardwatch-{name}")
            .description(self.about)
            .tags([TAG])
            .timezone("browser")
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time("now-30m", "now")
            .refresh("5s")
            .variables([_datasource()])
            .link(_links())
            .annotation(_alerts())
        )
        ids = count(1)
        for number, section in enumerate(self.sections):
            dashboard.with_row(Row(section.title).id(next(ids)))
            for panel in [*section.panels, *([] if number else [ALERTS_FIRING])]:
                dashboard.with_panel(self._with_texts(panel).build().id(next(ids)))
        return dashboard.build()

    def _with_texts(self, panel: Panel) -> Panel:
        about = panel.about
        for name, text in self.texts.items():
            about = about.replace(f"<{name}>", text)
        return structs.replace(panel, about=about)


def render() -> dict[str, str]:
    """Return the JSON of every dashboard by file name. The same definitions give the same bytes."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    boards = {path.stem: msgspec.toml.decode(path.read_bytes(), type=Board) for path in DEFINITIONS.glob("*.toml")}
    return {f"{name}.json": encoder.encode(board.build(name)) + "\n" for name, board in boards.items()}


def write(folder: Path) -> None:
    """Write all dashboards to `folder`, and delete the JSON files of other dashboards in it."""
    folder.mkdir(parents=True, exist_ok=True)
    rendered = render()
    for name, content in rendered.items():
        (folder / name).write_text(content)
    for path in folder.glob("*.json"):
        if path.name not in rendered:
            path.unlink()


def _datasource() -> DatasourceVariable:
    return (
        DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(VariableOption(text="Prometheus", value="prometheus", selected=True))
    )


def _links() -> DashboardLink:
    return DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG]).keep_time(True).include_vars(True)


def _alerts() -> AnnotationQuery:
    return AnnotationQuery().name(f"Alerts ({RUNBOOK})").datasource(SOURCE).enable(True).icon_color("red").expr(FIRING)
