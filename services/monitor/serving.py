"""What the scoring service serves, asked over HTTP."""

from __future__ import annotations

import httpx

from cardwatch.errors import ScoringUnavailable


class ServedModel:
    """Asks the scoring service at `url` which model version it serves."""

    def __init__(self, url: str, api_key: str, *, timeout_seconds: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self._url,
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {api_key}"},
            trust_env=False,
        )

    def version(self) -> str | None:
        """The served version, None if there is none yet. Raises `ScoringUnavailable` without a proper answer."""
        try:
            response = self._http.get("/v1/model").raise_for_status()
            served: str | None = response.json()["version"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ScoringUnavailable(
                f"the scoring service at {self._url} does not say what it serves: {type(error).__name__} {error}"
            ) from error
        return served

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
