"""`python -m adapters.runtime.probe URL`: exit status 0 if the address answers with success, else 1 and what it said.

For health checks in images, which have no other client.
"""

from __future__ import annotations

import sys
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

TIMEOUT_SECONDS = 4.0


def probe(url: str) -> str | None:
    """Why `url` does not answer with success, None if it does."""
    try:
        with urlopen(url, timeout=TIMEOUT_SECONDS):  # noqa: S310 (the address is our own)
            return None
    except HTTPError as error:
        return f"{error.code}: {error.read(1_000).decode(errors='replace').strip()}"
    except (URLError, HTTPException, OSError) as error:
        return str(error)


if __name__ == "__main__":
    refusal = probe(sys.argv[1])
    if refusal is not None:
        sys.exit(refusal)
