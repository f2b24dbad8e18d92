"""The dashboards: the files are what the code builds, and a reader finds on them what he needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.dashboards import written

ROOT = Path(__file__).resolve().parents[3]
GRAFANA = ROOT / "monitoring" / "grafana"
NAMES = ("business", "scoring", "stream", "model")
COLUMNS = 24


def board(name: str) -> dict[str, Any]:
    return json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text())  # type: ignore[no-any-return]


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


each_board = pytest.mark.parametrize("name", NAMES)


def test_the_files_are_those_that_the_code_builds() -> None:
    found = {file.name: file.read_text() for file in (GRAFANA / "dashboards").iterdir()}
    assert found == written.files(), "run `python -m monitoring.dashboards`"
    assert set(found) == {f"{name}.json" for name in NAMES}


def test_what_is_no_dashboard_any_more_is_removed(tmp_path: Path) -> None:
    (tmp_path / "forgotten.json").write_text("{}")
    written.write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(written.files())


@each_board
def test_panels_lie_beside_each_other_and_fill_their_lines(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board(name)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies upon {taken[x, y]}"
                taken[x, y] = panel["title"]
    height = 1 + max(y for _, y in taken)
    assert {(x, y) for x in range(COLUMNS) for y in range(height)} == set(taken)


@each_board
def test_a_dashboard_has_one_variable_a_way_to_the_others_and_marks_for_alerts(name: str) -> None:
    made = board(name)
    assert made["uid"] == f"cardwatch-{name}"
    assert [variable["name"] for variable in made["templating"]["list"]] == ["datasource"]
    assert made["templating"]["list"][0]["type"] == "datasource"
    assert [link["tags"] for link in made["links"]] == [made["tags"]] == [["cardwatch"]]
    assert [mark["expr"] for mark in made["annotations"]["list"]] == ['ALERTS{alertstate="firing"}']
    assert "Alerts firing" in [panel["title"] for panel in panels(name)]


@each_board
def test_names_and_ids_of_panels_are_their_own(name: str) -> None:
    for key in ("id", "title"):
        values = [panel[key] for panel in board(name)["panels"]]
        assert len(set(values)) == len(values)


@each_board
def test_a_panel_says_what_it_shows_in_which_unit_and_names_its_series(name: str) -> None:
    for panel in panels(name):
        assert len(panel["description"]) > 10
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "state-timeline"
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["legendFormat"]
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_board
def test_a_panel_s_page_in_the_runbook_exists(name: str) -> None:
    for panel in panels(name):
        _, _, page = panel["description"].partition("Runbook: ")
        assert not page or (ROOT / page.strip("`")).exists(), panel["title"]


def test_grafana_is_provisioned_from_where_the_files_are_mounted() -> None:
    mounted = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/cardwatch.yml").read_text())["providers"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounted
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["uid"], source["url"]) == ("prometheus", "prometheus", "http://prometheus:9090")
    assert board("business")["templating"]["list"][0]["current"]["value"] == source["uid"]


def test_who_watches_drift_does_not_need_what_writes_dashboards() -> None:
    question = "import sys, monitoring.watched; assert not [name for name in sys.modules if 'grafana' in name]"
    assert subprocess.run([sys.executable, "-c", question], cwd=ROOT, check=False).returncode == 0
