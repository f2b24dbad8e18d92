"""Toxiproxy: a program that forwards TCP connections, and makes them slow, silent or broken on demand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

import httpx
import msgspec
from msgspec import Struct

from cardwatch.errors import CardwatchError, Unavailable

UPSTREAM: Final = "upstream"
"""Direction to the server, which carries requests."""
DOWNSTREAM: Final = "downstream"
"""Direction to the client, which carries responses."""
VERSION_PATH: Final = "/version"
"""Path that Toxiproxy answers as soon as it is ready."""
_TIMEOUT_SECONDS: Final = 2.0


class Toxic(Struct, frozen=True, kw_only=True, rename={"kind": "type"}):
    """A disturbance of the data of each connection of a proxy, in one direction. It acts on open connections too.

    `kind` is one of Toxiproxy's: `latency` has the attributes `latency` and `jitter` in ms, `bandwidth` has `rate` in
    kB/s, and `timeout` with `timeout` 0 drops all data and keeps the connection open until the toxic is removed.
    """

    name: str
    kind: str
    stream: str
    attributes: Mapping[str, int]


class ForwardedAddress(Struct, frozen=True, kw_only=True):
    """A proxy: connections to `listen` are forwarded to `upstream`, both as `host:port`.

    If it is not `enabled`, it accepts no connection, and has closed those that were open.
    """

    name: str
    listen: str
    upstream: str
    enabled: bool = True
    toxics: list[Toxic] = []


class Toxiproxy:
    """The HTTP API of the Toxiproxy at `url`. All methods raise `Unavailable` if it does not answer."""

    def __init__(self, url: str) -> None:
        self._url = url

    def proxies(self) -> dict[str, ForwardedAddress]:
        """Return all proxies by name, with their toxics."""
        found = self._request("GET", "/proxies")
        return msgspec.json.decode(found, type=dict[str, ForwardedAddress])

    def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        """Add a toxic to a proxy that has none of this name."""
        self._request("POST", f"/proxies/{proxy}/toxics", msgspec.json.encode(toxic))

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Remove a toxic. Connections on which it has dropped data are closed."""
        self._request("DELETE", f"/proxies/{proxy}/toxics/{name}")

    def set_enabled(self, proxy: str, *, enabled: bool) -> None:
        """Let a proxy accept connections, or close all of them and refuse new ones."""
        self._request("POST", f"/proxies/{proxy}", msgspec.json.encode({"enabled": enabled}))

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            response = _client().request(method, self._url + path, content=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"Toxiproxy at {self._url} does not answer: {error}") from error
        if not response.is_success:
            raise CardwatchError(f"Toxiproxy refuses {method} {path}: {response.text.strip()[:200]}")
        return response.content


@cache
def _client() -> httpx.Client:
    """Return the shared client. It keeps no connection open, because Toxiproxy may be frozen or killed at any time."""
    return httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
