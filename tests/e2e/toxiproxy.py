"""The program Toxiproxy for tests, and faults of one of its proxies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.local_stack.toxiproxy import DOWNSTREAM, UPSTREAM, Toxic, Toxiproxy
from tests.go_programs import GoProgram

TOXIPROXY: Final = GoProgram(
    name="toxiproxy",
    module="github.com/Shopify/toxiproxy/v2",
    version="v2.12.0",
    checksum="h1:d1x++lYZg/zijXPPcv7PH0MvHMzEI5aX/YuUi/Sw+yg=",
    folder="./cmd/server",
)
MISSING: Final = "Go is not installed, from which Toxiproxy is built; see https://go.dev/dl"


class Proxy:
    """One forwarded address. Toxics act on open connections too."""

    def __init__(self, server: Toxiproxy, name: str) -> None:
        self._server, self.name = server, name

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
        self._server.set_enabled(self.name, enabled=False)

    def accept(self) -> None:
        """Accept connections again."""
        self._server.set_enabled(self.name, enabled=True)

    def cut(self) -> None:
        """Close all connections; new ones are accepted at once."""
        self.refuse()
        self.accept()

    def heal(self) -> None:
        """Remove everything. Connections on which data was dropped are closed."""
        for toxic in self._server.proxies()[self.name].toxics:
            self._server.remove_toxic(self.name, toxic.name)
        self.accept()

    def _add(self, kind: str, stream: str, attributes: Mapping[str, int]) -> None:
        toxic = Toxic(name=f"{kind}_{stream}", kind=kind, stream=stream, attributes=attributes)
        self._server.add_toxic(self.name, toxic)
