"""uvicorn's HTTP protocol, with patience that ends and a note of when each request arrived.

A request that comes byte by byte holds a connection, not a worker; but connections are a bounded good as well. So one
sweep a second closes those whose request has been coming for too long, and those that have never asked anything.
"""

from __future__ import annotations

import time
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.scoring.http import ARRIVED, TASKS

PATIENCE_SECONDS: Final = 5.0
"""From a request's first byte to its last, and from a connection's start to its first request."""
MOST_CONNECTIONS: Final = 4_096
"""Of one worker. Beyond them a new one is closed at once."""
SWEEP_SECONDS: Final = 1.0

NAME: Final = f"{__name__}:PatientProtocol"


class PatientProtocol(HttpToolsProtocol):
    """One connection. `coming_since`: when the request that is not whole yet began, None between requests."""

    coming_since: float | None = None
    _next_sweep = 0.0

    def connection_made(self, transport: Any) -> None:
        """A connection that is waiting for its first request counts as one that is coming."""
        super().connection_made(transport)
        self.coming_since = time.perf_counter()
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
        if self.coming_since >= PatientProtocol._next_sweep:
            PatientProtocol._next_sweep = self.coming_since + SWEEP_SECONDS
            self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self.coming_since = time.perf_counter()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[ARRIVED], scope[TASKS] = self.coming_since, self.tasks

    def on_message_complete(self) -> None:
        """The last one."""
        self.coming_since = None
        super().on_message_complete()

    def _sweep(self) -> None:
        """Close whoever is too slow, and come again while anybody is connected."""
        now = time.perf_counter()
        for connection in list(self.connections):
            since = getattr(connection, "coming_since", None)
            if since is not None and now - since > PATIENCE_SECONDS and connection.transport is not None:
                connection.transport.close()
        if self.connections:
            PatientProtocol._next_sweep = now + SWEEP_SECONDS + 0.5
            self.loop.call_later(SWEEP_SECONDS, self._sweep)
