"""Toxiproxy: a proxy for TCP connections that makes them slow, silent or broken on demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import httpx

from tests.go_programs import GoProgram

TOXIPROXY: Final = GoProgram(
    name="toxiproxy",
    module="github.com/Shopify/toxiproxy/v2",
    version="v2.12.0",
    checksum="h1:d1x++lYZg/zijXPPcv7PH0MvHMzEI5aX/YuUi/Sw+yg=",
    folder="./cmd/server",
)
MISSING: Final = "Go is not installed, from which Toxiproxy is built; see https://go.dev/dl"

UPSTREAM, DOWNSTREAM = "upstream", "downstream"
"""Directions: to the server, which carries requests, and to the client, which carries responses."""


class Toxiproxy:
    """The HTTP API of a running Toxiproxy."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=10.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        try:
            return self._http.get("/version").is_success
        except httpx.TransportError:
            return False

    def forward(self, name: str, listen: str, upstream: str) -> Proxy:
        """Forward connections to `listen` to the server at `upstream`, both as `host:port`."""
        self.post("/proxies", name=name, listen=listen, upstream=upstream)
        return Proxy(self, name)

    def post(self, path: str, **body: object) -> None:
        answer = self._http.post(path, json=body)
        assert answer.is_success, answer.text

    def delete(self, path: str) -> None:
        answer = self._http.delete(path)
        assert answer.is_success, answer.text

    def toxics(self, proxy: str) -> list[str]:
        """The names of the toxics of a proxy."""
        return [toxic["name"] for toxic in self._http.get(f"/proxies/{proxy}/toxics").raise_for_status().json()]


class Proxy:
    """One forwarded address. Toxics act on open connections too."""

    def __init__(self, server: Toxiproxy, name: str) -> None:
        self._server, self._path, self.name = server, f"/proxies/{name}", name

    def delay(self, milliseconds: int, jitter: int = 0) -> None:
        """Deliver responses later, by the time plus or minus the jitter."""
        self._add("latency", DOWNSTREAM, {"latency": milliseconds, "jitter": jitter})

    def limit(self, kilobytes_per_second: int) -> None:
        """Limit the rate of each connection, in each direction."""
        for stream in (UPSTREAM, DOWNSTREAM):
            self._add("bandwidth", stream, {"rate": kilobytes_per_second})

    def swallow(self, *streams: str) -> None:
        """Drop what is sent in these directions, and keep the connections open: half-open ones, if it is one."""
        for stream in streams:
            self._add("timeout", stream, {"timeout": 0})

    def refuse(self) -> None:
        """Close all connections and accept none."""
        self._server.post(self._path, enabled=False)

    def accept(self) -> None:
        """Accept connections again."""
        self._server.post(self._path, enabled=True)

    def cut(self) -> None:
        """Close all connections; new ones are accepted at once."""
        self.refuse()
        self.accept()

    def heal(self) -> None:
        """Remove everything. Connections on which data was dropped are closed."""
        for name in self._server.toxics(self.name):
            self._server.delete(f"{self._path}/toxics/{name}")
        self.accept()

    def _add(self, kind: str, stream: str, attributes: Mapping[str, int]) -> None:
        self._server.post(f"{self._path}/toxics", type=kind, stream=stream, attributes=dict(attributes))
