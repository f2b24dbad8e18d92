"""The page of the console: one HTML file, built from `services/console/page`, with the policy for its content."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Final, NamedTuple

PAGE: Final = Path(__file__).parent / "page" / "dist" / "index.html"
_INLINE: Final = {
    "script": re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL),
    "style": re.compile(rb"<style[^>]*>(.*?)</style>", re.DOTALL),
}
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
    sources = {kind: " ".join(map(_hash, pattern.findall(content))) or "'none'" for kind, pattern in _INLINE.items()}
    policy = (
        f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(content, policy)


def _hash(inline: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline).digest()).decode()}'"
