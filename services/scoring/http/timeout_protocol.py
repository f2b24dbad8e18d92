"""uvicorn's HTTP protocol with time and size limits for connections, and with responses that are written together.

- Connections that send a request too slowly, or no request at all, are closed by a sweep once a second. Such a
  connection occupies no worker, but the number of connections is limited as well.
- A request knows its arrival time and how many requests are pending.
- A complete response (`WRITE_RESPONSE`) is one write instead of two ASGI messages.
- Responses that are ready in one iteration of the event loop are written together. Waking up a client costs the server
  a third of the time of a score, and the first write would wake the client before the other responses are computed.

`services.scoring.server_patches` lists the private attributes of uvicorn that this module relies on.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.scoring.http.routes import ARRIVAL_TIME, PENDING_TASKS, WRITE_RESPONSE, Response

TIMEOUT_SECONDS: Final = 5.0
"""Maximum time from the first to the last byte of a request, and from a connection's start to its first request."""
MAX_CONNECTIONS: Final = 4_096
"""Maximum number of open connections per worker. Further connections are closed immediately."""
SWEEP_SECONDS: Final = 1.0
"""Interval between two checks for connections that exceed `TIMEOUT_SECONDS`."""
MAX_HEAD_BYTES: Final = 65_536
"""Maximum size of request line and headers, beyond the first read of at most 256 KiB. Parsed headers take twenty times
their size in memory, before the API key is checked."""
MAX_BUFFERED_RESPONSES: Final = 16
"""Maximum number of responses that are written together. It delays the first of them by less than a millisecond."""

NAME: Final = f"{__name__}:TimeoutProtocol"


class TimeoutProtocol(HttpToolsProtocol):
    """The protocol of one connection. `receiving_since`: when the incomplete request began, None between requests."""

    receiving_since: float | None = None
    _head_bytes: int | None = None
    _is_sweeping = False
    _buffered: Final[list[tuple[Any, bytes]]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False  # access logging is off, so do not format the lines
        self.ws_protocol_class = None  # uvicorn applies no timeout to a WebSocket handshake and does not count it

    def connection_made(self, transport: Any) -> None:
        """Start the timeout of the first request, and close the connection if there are too many."""
        super().connection_made(transport)
        self.receiving_since = time.perf_counter()
        if len(self.connections) > MAX_CONNECTIONS:
            transport.close()
        if not TimeoutProtocol._is_sweeping:
            TimeoutProtocol._is_sweeping = True
            self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def data_received(self, data: bytes) -> None:
        """Parse `data`; limit the size of the head, and restart the timeout if only empty lines arrive."""
        since, head_bytes = self.receiving_since, self._head_bytes
        super().data_received(data)
        if self._head_bytes is not None:
            if head_bytes is not None and self.receiving_since is since:
                self._head_bytes = head_bytes + len(data)
                if self._head_bytes > MAX_HEAD_BYTES:
                    self.send_400_response("The request line and headers are too large.")
        elif self.receiving_since is None and self.timeout_keep_alive_task is None and self._is_idle():
            self.receiving_since = time.perf_counter()  # empty lines stop uvicorn's keep-alive timeout

    def on_message_begin(self) -> None:
        """Start the timeout of a request at its first byte."""
        super().on_message_begin()
        self.receiving_since = time.perf_counter()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Add our keys to the scope. The request's task starts after the bytes at hand have been parsed."""
        self._head_bytes = None
        super().on_headers_complete()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[ARRIVAL_TIME], scope[PENDING_TASKS] = self.receiving_since, self.tasks
        scope[WRITE_RESPONSE] = partial(self._write_response, self.cycle)

    def on_message_complete(self) -> None:
        """Stop the timeout at the last byte of the request."""
        self.receiving_since = None
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Answer CONNECT and upgrades as plain HTTP, and close afterwards, because what follows cannot be parsed."""
        if self._is_idle():
            self.transport.close()
        self.cycle.keep_alive = False

    def _is_idle(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _write_response(self, cycle: RequestResponseCycle, response: Response) -> bool:
        """Write a complete response; return False, without effect, where ASGI messages must be used instead."""
        if cycle.response_started or self.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if cycle.disconnected:
            return True
        lines, has_connection_header = [STATUS_LINE[response.status]], False
        for name, value in (*self.server_state.default_headers, *response.all_headers()):
            lines += (name, b": ", value, b"\r\n")
            if name == b"connection":
                cycle.keep_alive, has_connection_header = False, True
        if not cycle.keep_alive and not has_connection_header:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", response.body)
        self._buffer(b"".join(lines), is_last=not cycle.keep_alive)
        cycle.on_response()
        return True

    def _buffer(self, data: bytes, *, is_last: bool) -> None:
        """Write `data` with the other responses of this iteration of the event loop, or immediately if it is alone."""
        buffered = TimeoutProtocol._buffered
        buffered.append((self.transport, data))
        if is_last or len(self.tasks) == 1 or len(buffered) >= MAX_BUFFERED_RESPONSES:
            _write_buffered()
        elif len(buffered) == 1:
            self.loop.call_soon(_write_buffered)
        if is_last:
            self.transport.close()

    def _sweep(self) -> None:
        """Close the connections that exceed the timeout, and schedule the next sweep while there are connections."""
        TimeoutProtocol._is_sweeping = bool(self.connections)
        if TimeoutProtocol._is_sweeping:
            self.loop.call_later(SWEEP_SECONDS, self._sweep)
        now = time.perf_counter()
        for connection in list(self.connections):
            since = getattr(connection, "receiving_since", None)
            if since is not None and now - since > TIMEOUT_SECONDS and connection.transport is not None:
                connection.transport.close()


def _write_buffered() -> None:
    buffered = TimeoutProtocol._buffered.copy()
    TimeoutProtocol._buffered.clear()  # first, so that a failing write does not block the later responses
    for transport, data in buffered:
        if not transport.is_closing():  # bytes that are not HTTP may have followed the request and closed it
            transport.write(data)
