"""The page of the console: one HTML file, built from `services/console/page`, with the policy for its content."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from cardwatch.live.page_policy import content_policy

PAGE: Final = Path(__file__).parent / "page" / "dist" / "index.html"
_NOT_BUILT: Final = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>Cardwatch</title><p>The console has not been built, "
    b"because npm could not be reached. Run <code>cardwatch console build</code>; the stack runs without it."
)


class Page(NamedTuple):
    """The page and its content security policy, which allows exactly its own inline script and style."""

    content: bytes
    policy: str


def read_page(file: Path = PAGE) -> Page:
    """Return the built page, or one that says how to build it."""
    content = file.read_bytes() if file.exists() else _NOT_BUILT
    return Page(content, content_policy(content, connects="'self'") + "; frame-ancestors 'none'")
