"""The content security policy of the console's page: exactly its own inline script and style, by their hashes."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

_INLINE: Final = {
    "script": re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL),
    "style": re.compile(rb"<style[^>]*>(.*?)</style>", re.DOTALL),
}


def content_policy(page: bytes, *, connects: str) -> str:
    """Return the policy of a page. `connects` is the source list of its connections: `'self'`, or `'none'` in a file.

    >>> content_policy(b"<p>", connects="'none'").partition(";")[0]
    "default-src 'none'"
    """
    sources = {kind: " ".join(map(_hash, pattern.findall(page))) or "'none'" for kind, pattern in _INLINE.items()}
    return (
        f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; connect-src {connects}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(inline: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline).digest()).decode()}'"
