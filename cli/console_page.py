"""The page of the console with the tour of this checkout."""

from __future__ import annotations

from cardwatch.errors import CardwatchError
from cli.tour.page_data import refresh_page_data
from infra.console_page import build_page
from infra.reporting import Report


def build_console_page(report: Report) -> str | None:
    """Build the page if there is none of these sources; return why that is impossible, None if the page is there.

    A tour that cannot be read is reported, and the page is built with the former one, or without.
    """
    try:
        refresh_page_data()
    except (CardwatchError, OSError) as error:
        report(f"the page gets no new tour: {error}")
    return build_page(report)
