"""Health check for images, which contain no other HTTP client: `python -m adapters.runtime.probe URL`.

It exits with 0 if the response is a success, else with 1 and the text of the response.
"""

from __future__ import annotations

import sys
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

TIMEOUT_SECONDS = 4.0


def probe(url: str) -> str | None:
    """Return why the request fails, None if it succeeds."""
    try:
        with urlopen(url, timeout=TIMEOUT_SECONDS):  # noqa: S310 (the address is our own)
            return None
    except HTTPError as error:
        return f"{error.code}: {error.read(1_000).decode(errors='replace').strip()}"
    except (URLError, HTTPException, OSError) as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(probe(sys.argv[1]))
