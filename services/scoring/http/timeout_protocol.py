"""uvicorn's HTTP protocol for a service whose answers are small, quick and whole.

- Patience ends. A request that comes byte by byte holds a connection, not a worker; but connections are a bounded good
  as well. So one sweep a second closes those whose request has been coming for too long, or that never ask anything.
- A request knows when it arrived and how many are waiting.
- An answer can be given whole (`WHOLE`): one write, where two ASGI messages are two.
- Answers of one pass over the waiting requests are written together: waking up a caller costs the server as much as a
  third of a score, and the first write wakes whoever waits for the others.

It relies on attributes of `HttpToolsProtocol` and `RequestResponseCycle` that uvicorn does not promise;
`tests/integration/test_scoring_service.py` and its neighbours fail if they change.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.scoring.http.routes import ARRIVED, TASKS, WHOLE

TIMEOUT_SECONDS: Final = 5.0
"""From a request's first byte to its last, and from a connection's start to its first request."""
MAX_CONNECTIONS: Final = 4_096
"""Of one worker. Beyond them a new one is closed at once."""
SWEEP_SECONDS: Final = 1.0
MAX_HEAD_BYTES: Final = 65_536
"""Of a request line and headers, after the first 256 KiB at most that are read at once. Headers take twenty times their
size in memory, before anybody has asked for a key."""
MAX_HELD: Final = 16
"""So many answers are written together at most: the first of them waits for the last, less than a millisecond."""

NAME: Final = f"{__name__}:TimeoutProtocol"

Headers = Sequence[tuple[bytes, bytes]]


class TimeoutProtocol(HttpToolsProtocol):
    """One connection. `coming_since`: when the request that is not whole yet began, None between requests."""

    coming_since: float | None = None
    _head_bytes: int | None = None
    _is_sweeping = False
    _held: Final[list[tuple[Any, bytes]]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False  # it would be written for nobody: access logging is off
        self.ws_protocol_class = None  # uvicorn would wait for ever for the handshake of a WebSocket, and not count it

    def connection_made(self, transport: Any) -> None:
        """A connection that is waiting for its first request counts as one that is coming."""
        super().connection_made(transport)
        self.coming_since = time.perf_counter()
        if len(self.connections) > MAX_CONNECTIONS:
            transport.close()
        if not TimeoutProtocol._is_sweeping:
            TimeoutProtocol._is_sweeping = True
            self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def data_received(self, data: bytes) -> None:
        """Refuse a head without end, and do not wait for a request that does not begin."""
        since, head_bytes = self.coming_since, self._head_bytes
        super().data_received(data)
        if self._head_bytes is not None:
            if head_bytes is not None and self.coming_since is since:
                self._head_bytes = head_bytes + len(data)
                if self._head_bytes > MAX_HEAD_BYTES:
                    self.send_400_response("The request line and headers are too large.")
        elif self.coming_since is None and self.timeout_keep_alive_task is None and self._is_idle():
            self.coming_since = time.perf_counter()  # empty lines: uvicorn would wait for more for ever

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self.coming_since = time.perf_counter()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The request is known; its task begins after the bytes that are here have been read."""
        self._head_bytes = None
        super().on_headers_complete()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[ARRIVED], scope[TASKS], scope[WHOLE] = self.coming_since, self.tasks, partial(self._answer, self.cycle)

    def on_message_complete(self) -> None:
        """The last byte."""
        self.coming_since = None
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """To CONNECT or an upgrade there is the answer of plain HTTP; nobody reads what follows, so it is the last."""
        if self._is_idle():
            self.transport.close()
        self.cycle.keep_alive = False

    def _is_idle(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _answer(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
        """Do what two ASGI messages would; False, and nothing done, where they must do it themselves."""
        if cycle.response_started or self.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if cycle.disconnected:
            return True
        lines, says_so = [STATUS_LINE[status]], False
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
            if name == b"connection":
                cycle.keep_alive, says_so = False, True
        if not cycle.keep_alive and not says_so:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", body)
        self._write_with_others(b"".join(lines), last=not cycle.keep_alive)
        cycle.on_response()
        return True

    def _write_with_others(self, answer: bytes, *, last: bool) -> None:
        held = TimeoutProtocol._held
        held.append((self.transport, answer))
        if last or len(self.tasks) == 1 or len(held) >= MAX_HELD:
            _write_held()
        elif len(held) == 1:
            self.loop.call_soon(_write_held)
        if last:
            self.transport.close()

    def _sweep(self) -> None:
        """Close whoever is too slow, and come again while anybody is connected."""
        TimeoutProtocol._is_sweeping = bool(self.connections)
        if TimeoutProtocol._is_sweeping:
            self.loop.call_later(SWEEP_SECONDS, self._sweep)
        now = time.perf_counter()
        for connection in list(self.connections):
            since = getattr(connection, "coming_since", None)
            if since is not None and now - since > TIMEOUT_SECONDS and connection.transport is not None:
                connection.transport.close()


def _write_held() -> None:
    held = TimeoutProtocol._held.copy()
    TimeoutProtocol._held.clear()  # first, or what cannot be written would stand in the way of all others for ever
    for transport, answer in held:
        if not transport.is_closing():  # a request that is no HTTP may have followed in the same bytes
            transport.write(answer)
