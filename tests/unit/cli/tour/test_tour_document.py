"""The tour of the repository: its page is the generated one, and it has what a talk and an interview need."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from cardwatch.errors import Misconfigured
from cardwatch.live.frames import BOXES
from cli.tour import tour
from cli.tour.catalogue import QUOTED, QuotedPlace, figures
from cli.tour.document import document, tour_data
from cli.tour.page_data import page_data, write_page_data
from cli.tour.reading import ROOT, TALK_MINUTES, TOUR, read_as, read_overview, read_stops
from cli.tour.schema import BoxName

TOPICS = [
    "clarifying-questions", "requirements", "estimates", "api-and-data", "features", "serving", "decision", "labels",
    "drift", "retraining", "failure", "scale", "security", "aws",
]  # fmt: skip
TARGETS = {"50 ms", "15 ms", "10 ms", "6 ms", "2 ms", "250 ms", "10 µs"}
"""What the texts state in these units themselves: budgets, deadlines and goals, none of which was measured."""


@cache
def data() -> dict[str, Any]:
    return tour_data(figures())


def test_the_published_page_is_that_of_the_tour() -> None:
    assert (ROOT / "docs" / "whiteboard.md").read_text(encoding="utf-8") == document(data()), "run `cardwatch tour`"


def test_the_stops_are_those_of_a_system_design_interview_in_its_order() -> None:
    assert [stop.id for stop in read_stops()] == TOPICS


def test_the_stops_fit_a_talk() -> None:
    assert data()["minutes"] == sum(stop.minutes for stop in read_stops()) <= TALK_MINUTES == data()["talk_minutes"]


def test_there_are_forty_questions_numbered_through_and_none_twice() -> None:
    questions = [question for stop in data()["stops"] for question in stop["questions"]]
    assert [question["number"] for question in questions] == list(range(1, 41))
    assert len({question["ask"] for question in questions}) == 40


def test_the_boxes_of_the_tour_are_those_of_the_console() -> None:
    assert get_args(BoxName) == BOXES
    assert tuple(each.box for each in read_overview().boxes) == BOXES


def test_every_box_of_the_diagram_is_pointed_at() -> None:
    assert {box for stop in read_stops() for box in stop.boxes} == set(BOXES)


@pytest.mark.parametrize("alternative", ["Flink", "Feast", "A database", "Online learning", "A graph model"])
def test_an_alternative_that_interviewers_ask_for_is_rejected_with_reasons(alternative: str) -> None:
    [found] = [each for stop in read_stops() for each in stop.rejected if each.instead.startswith(alternative)]
    assert found.because
    assert found.right_when


def test_most_answers_rest_on_figures_with_a_source() -> None:
    used = [question["figures"] for stop in data()["stops"] for question in stop["questions"]]
    assert sum(bool(each) for each in used) >= 30
    assert all(figure["source"] and figure["shown"] for each in used for figure in each)


def test_the_latency_budget_adds_up() -> None:
    [table] = [each for stop in data()["stops"] for each in stop["tables"] if each["title"] == "Latency budget"]
    *hops, whole = [int(row[1].removesuffix(" ms")) for row in table["rows"]]
    assert sum(hops) == whole


def test_every_path_in_a_text_exists() -> None:
    roots = "cardwatch|adapters|models|monitoring|services|pipelines|stress|infra|cli|benchmarks|tests|docs|examples"
    paths = re.findall(rf"`((?:{roots})/[\w./-]+)`", json.dumps(data(), ensure_ascii=False))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", sorted(TOUR.glob("*.yaml")), ids=lambda path: path.name)
def test_no_measured_time_size_or_price_is_typed_by_hand(path: Path) -> None:
    if path == QUOTED:
        return
    text = re.sub(r"\{[^{}]*\}", "", path.read_text(encoding="utf-8"))
    typed = re.findall(r"[\d.,]*\d ?(?:ms|µs|us|KB|MB|GB|TB)\b|\$ ?\d[\d.,]*", text)
    assert set(typed) - TARGETS == set()


def test_every_quoted_place_is_used() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in TOUR.glob("*.yaml"))
    names = read_as(QUOTED, dict[str, QuotedPlace])
    assert [name for name in names if f"quoted.{name}" not in texts] == []


def test_the_command_writes_the_page_and_the_data_of_the_console(tmp_path: Path) -> None:
    file = tmp_path / "generated" / "tour.json"
    completed = CliRunner().invoke(tour, ["--folder", str(tmp_path), "--json", str(file)], catch_exceptions=False)
    assert completed.exit_code == 0
    assert (tmp_path / "whiteboard.md").read_text(encoding="utf-8") == document(data())
    assert json.loads(file.read_text(encoding="utf-8")) == page_data(data())


def test_the_images_get_the_data_of_the_page_without_a_change_of_the_documentation(tmp_path: Path) -> None:
    file = tmp_path / "tour.json"
    command = ["--folder", str(tmp_path), "--json", str(file), "--json-only"]
    assert CliRunner().invoke(tour, command, catch_exceptions=False).exit_code == 0
    assert list(tmp_path.iterdir()) == [file]


def test_the_page_has_every_stop_with_the_source_of_each_figure_and_drawings_by_title() -> None:
    page = page_data(data())
    assert [stop["id"] for stop in page["stops"]] == [stop["id"] for stop in data()["stops"]]
    for stop, whole in zip(page["stops"], data()["stops"], strict=True):
        assert stop["drawings"] == [drawing["title"] for drawing in whole["drawings"]]
        for question, full in zip(stop["questions"], whole["questions"], strict=True):
            assert question["answer"] == full["answer"]
            assert question["figures"] == [
                {"shown": used["shown"], "source": used["source"]} for used in full["figures"]
            ]


def test_data_that_have_not_changed_are_not_written_again_so_that_the_page_is_not_built_again(tmp_path: Path) -> None:
    file = tmp_path / "tour.json"
    write_page_data(data(), file)
    os.utime(file, (0, 0))
    write_page_data(data(), file)
    assert file.stat().st_mtime == 0


def test_the_command_lists_the_figures_with_their_sources_and_writes_nothing(tmp_path: Path) -> None:
    completed = CliRunner().invoke(tour, ["--folder", str(tmp_path), "--figures"], catch_exceptions=False)
    assert re.search(r"^bench\.stream_rate +[\d,]+ +benchmarks/results/latest\.json", completed.output, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no such folder"):
        CliRunner().invoke(tour, ["--folder", str(tmp_path / "gone")], catch_exceptions=False)
