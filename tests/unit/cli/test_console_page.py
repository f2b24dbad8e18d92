"""The page of the console is built with the tour, and a tour that cannot be read is no reason to have no page."""

from __future__ import annotations

import pytest

from cli import console_page
from cli.tour.reading import TourError


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
