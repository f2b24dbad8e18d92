"""The page of measurements is the one that the last results give."""

from __future__ import annotations

from benchmarks.document import PAGE, document


def test_the_published_page_is_generated_from_the_last_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == document()
