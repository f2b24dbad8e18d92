"""The dashboards: the JSON files are those that the definitions render to, and every panel is described."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.dashboards.board import render, write

ROOT = Path(__file__).resolve().parents[3]
GRAFANA = ROOT / "monitoring" / "grafana"
NAMES = ("business", "scoring", "stream", "model")
COLUMNS = 24


def board(name: str) -> dict[str, Any]:
    return json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text())  # type: ignore[no-any-return]


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


each_board = pytest.mark.parametrize("name", NAMES)


def test_the_json_files_are_rendered_from_the_definitions() -> None:
    found = {file.name: file.read_text() for file in (GRAFANA / "dashboards").iterdir()}
    assert found == render(), "run `python -m monitoring.dashboards`"
    assert set(found) == {f"{name}.json" for name in NAMES}


def test_the_file_of_a_removed_dashboard_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "forgotten.json").write_text("{}")
    write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(render())


@each_board
def test_panels_do_not_overlap_and_fill_their_rows(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board(name)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} overlaps {taken[x, y]}"
                taken[x, y] = panel["title"]
    height = 1 + max(y for _, y in taken)
    assert {(x, y) for x in range(COLUMNS) for y in range(height)} == set(taken)


@each_board
def test_a_dashboard_has_a_datasource_variable_links_to_the_others_and_alert_annotations(name: str) -> None:
    made = board(name)
    assert made["uid"] == f"cardwatch-{name}"
    assert [variable["name"] for variable in made["templating"]["list"]] == ["datasource"]
    assert made["templating"]["list"][0]["type"] == "datasource"
    assert [link["tags"] for link in made["links"]] == [made["tags"]] == [["cardwatch"]]
    assert [mark["expr"] for mark in made["annotations"]["list"]] == ['ALERTS{alertstate="firing"}']
    assert "Alerts firing" in [panel["title"] for panel in panels(name)]


@each_board
def test_titles_and_ids_of_panels_are_unique(name: str) -> None:
    for key in ("id", "title"):
        values = [panel[key] for panel in board(name)["panels"]]
        assert len(set(values)) == len(values)


@each_board
def test_a_panel_has_a_description_a_unit_and_legends(name: str) -> None:
    for panel in panels(name):
        assert len(panel["description"]) > 10
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "state-timeline"
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["legendFormat"]
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_board
def test_the_runbook_page_of_a_panel_exists(name: str) -> None:
    for panel in panels(name):
        _, _, page = panel["description"].partition("Runbook: ")
        assert not page or (ROOT / page.strip("`")).exists(), panel["title"]


def test_grafana_is_provisioned_from_the_mounted_folder() -> None:
    mounted = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/cardwatch.yml").read_text())["providers"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro,z" in mounted
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["uid"], source["url"]) == ("prometheus", "prometheus", "http://prometheus:9090")
    assert board("business")["templating"]["list"][0]["current"]["value"] == source["uid"]


def test_drift_monitoring_does_not_import_the_grafana_sdk() -> None:
    code = "import sys, monitoring.watched; assert not [name for name in sys.modules if 'grafana' in name]"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
