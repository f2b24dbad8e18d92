"""The page of the console: one HTML file, built from `services/console/page`, with the policy for its content."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from cardwatch.live.page_policy import content_policy

PAGE: Final = Path(__file__).parent / "page" / "dist" / "index.html"
_TOUR_NAME: Final = "tour.json"
_NOT_BUILT: Final = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>Cardwatch</title><p>The console has not been built, "
    b"because npm could not be reached. Run <code>cardwatch console build</code>; the stack runs without it."
)


class Page(NamedTuple):
    """The page and its content security policy, which allows exactly its own inline script and style.

    `tour` has the texts of the tour as JSON, None if the page was built without them.
    """

    content: bytes
    policy: str
    tour: bytes | None = None


def read_page(file: Path = PAGE) -> Page:
    """Return the built page, or one that says how to build it."""
    content = file.read_bytes() if file.exists() else _NOT_BUILT
    policy = content_policy(content, connects="'self'") + "; frame-ancestors 'none'"
    tour = file.with_name(_TOUR_NAME)
    return Page(content, policy, tour.read_bytes() if tour.exists() else None)
