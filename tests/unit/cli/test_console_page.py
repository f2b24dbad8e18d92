"""The page of the console is built with the tour, and a tour that cannot be read is no reason to have no page."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cardwatch.errors import CardwatchError, Misconfigured
from cli import console_page
from cli.console import screenshots
from cli.tour.reading import TourError
from infra.console_page import take_screenshots


def test_the_tour_is_written_before_the_page_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    monkeypatch.setattr(console_page, "refresh_page_data", lambda: steps.append("tour"))
    monkeypatch.setattr(console_page, "build_page", lambda report: steps.append("page"))
    assert console_page.build_console_page(steps.append) is None
    assert steps == ["tour", "page"]


def test_a_tour_that_cannot_be_read_is_reported_and_the_page_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise TourError("03-estimates.yaml: title: is missing")

    lines: list[str] = []
    monkeypatch.setattr(console_page, "refresh_page_data", refuse)
    monkeypatch.setattr(console_page, "build_page", lambda report: "npm ci failed")
    assert console_page.build_console_page(lines.append) == "npm ci failed"
    assert lines == ["the page gets no new tour: 03-estimates.yaml: title: is missing"]


def test_pictures_need_the_replay_of_a_demo(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"no replay .*gone\.html; `cardwatch demo` writes one"):
        CliRunner().invoke(screenshots, ["--replay", str(tmp_path / "gone.html")], catch_exceptions=False)


def test_pictures_need_a_folder_that_is_there(tmp_path: Path) -> None:
    replay = tmp_path / "replay.html"
    replay.touch()
    command = ["--replay", str(replay), "--folder", str(tmp_path / "gone")]
    with pytest.raises(Misconfigured, match="no such folder"):
        CliRunner().invoke(screenshots, command, catch_exceptions=False)


def test_pictures_of_a_running_stack_need_one_and_take_no_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    command = ["--running", "--folder", str(tmp_path)]
    with pytest.raises(CardwatchError, match=r"no stack runs in .*; `cardwatch up` starts one"):
        CliRunner().invoke(screenshots, command, catch_exceptions=False)
    with pytest.raises(Misconfigured, match="--running and --replay exclude each other"):
        CliRunner().invoke(screenshots, [*command, "--replay", "replay.html"], catch_exceptions=False)


def test_pictures_that_cannot_be_taken_are_reported_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "recorded_screenshots.ts").write_text('throw new Error("no browser");\n')
    problem = take_screenshots(tmp_path / "replay.html", tmp_path, page=tmp_path)
    assert problem == "recorded_screenshots.ts failed: Error: no browser"
