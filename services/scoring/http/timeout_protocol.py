"""uvicorn's HTTP protocol with time and size limits, direct endpoints, and responses that are written together.

- Connections that send a request too slowly, or no request at all, are closed by a sweep once a second, which replaces
  uvicorn's timer per response. Such a connection occupies no worker, but the number of connections is limited as well.
- A request knows its arrival time and how many requests are pending.
- A complete response (`WRITE_RESPONSE`) is one write instead of two ASGI messages.
- A request for a `DirectEndpoint` is answered without ASGI: no task, no messages. All requests that arrive in one
  iteration of the event loop are read first and then answered in turn, so that the deadline of each is checked when
  its turn comes. If one must wait, or another request follows on its connection, uvicorn's own machinery takes over.
- Responses that are ready in one iteration of the event loop are written together. Waking up a client costs the server
  a third of the time of a score, and the first write would wake the client before the other responses are computed.

`services.scoring.server_patches` lists the private attributes of uvicorn that this module relies on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, Final

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.scoring.http.routes import (
    ARRIVAL_TIME,
    PENDING_TASKS,
    WRITE_RESPONSE,
    CompleteRequest,
    DirectEndpoint,
    Response,
    send_response,
)

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

log = logging.getLogger(__name__)


class DirectRequest(CompleteRequest):
    """A request for a `DirectEndpoint` on the connection of `protocol`; its body may be incomplete."""

    __slots__ = ("all_headers", "endpoint", "keep_alive", "protocol")

    def __init__(self, protocol: TimeoutProtocol, endpoint: DirectEndpoint, headers: dict[bytes, bytes]) -> None:
        super().__init__(headers)
        self.protocol, self.endpoint, self.all_headers, self.keep_alive = protocol, endpoint, protocol.headers, True


class TimeoutProtocol(HttpToolsProtocol):
    """The protocol of one connection. `receiving_since`: when the incomplete request began, None between requests.

    `idle_since`: when the last request was answered, None while there is one or before the first.
    """

    receiving_since: float | None = None
    idle_since: float | None = None
    _head_bytes: int | None = None
    _is_sweeping = False
    _buffered: Final[list[tuple[Any, bytes]]] = []
    _unanswered: Final[list[DirectRequest]] = []
    """The direct requests of all connections that were complete in this iteration of the event loop."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False  # access logging is off, so do not format the lines
        self.ws_protocol_class = None  # uvicorn applies no timeout to a WebSocket handshake and does not count it
        self._direct: Mapping[bytes, DirectEndpoint] = getattr(self.config.app, "direct", {})
        self._receiving: DirectRequest | None = None
        self._waiting: DirectRequest | None = None

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
        elif self.receiving_since is None and self._is_idle():
            self.receiving_since = time.perf_counter()  # of empty lines

    def on_message_begin(self) -> None:
        """Start the timeout of a request at its first byte. Only ASGI needs a scope, which uvicorn would make here."""
        self.url, self.expect_100_continue, self.headers = b"", False, []
        self.receiving_since, self.idle_since = time.perf_counter(), None
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Begin a direct request, or a cycle of uvicorn, whose task starts after the bytes at hand have been parsed."""
        self._head_bytes = None
        if self._waiting is not None:
            self._start_cycle(self._waiting, self.app)  # uvicorn keeps the order of requests on a connection
        endpoint = self._direct.get(self.url)
        if endpoint is None or not self._begin_direct(endpoint):
            self._begin_cycle()

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        if self._receiving is None:
            super().on_body(body)
        else:
            self._receiving.whole_body += body

    def on_message_complete(self) -> None:
        """Stop the timeout at the last byte of the request; queue a direct request."""
        request = self._receiving
        if request is None:
            self.receiving_since = None
            super().on_message_complete()
            return
        request.arrival_time, self.receiving_since = self.receiving_since or time.perf_counter(), None
        request.keep_alive = self.parser.should_keep_alive()
        self._receiving, self._waiting = None, request
        unanswered = TimeoutProtocol._unanswered
        unanswered.append(request)
        if len(unanswered) == 1:
            self.loop.call_soon(_answer_requests)

    def on_response_complete(self) -> None:
        """Begin the next pipelined request, or be idle: as uvicorn does, but without a timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.idle_since = time.perf_counter()

    def shutdown(self) -> None:
        """Close the connection after the request at hand."""
        if self._receiving is not None:
            body, self._receiving = self._receiving.whole_body, None
            self._begin_cycle()
            self.cycle.body += body
        elif self._waiting is not None:
            self._start_cycle(self._waiting, self.app)
        super().shutdown()

    def _begin_direct(self, endpoint: DirectEndpoint) -> bool:
        """Begin a direct request; return False for the requests that ASGI handles, whose forms are rare."""
        if (
            (self.cycle is not None and not self.cycle.response_complete)
            or self.expect_100_continue
            or self.flow.write_paused
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or self.parser.should_upgrade()
        ):
            return False
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or int(length[:18]) > endpoint.max_bytes:
            return False
        self._receiving = DirectRequest(self, endpoint, headers)
        return True

    def _scope_of(self, headers: list[tuple[bytes, bytes]]) -> Any:
        """Return the scope that uvicorn makes at the begin of a request, with these headers."""
        kept = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = kept
        return {**self.scope, "headers": headers}

    def _begin_cycle(self) -> None:
        self.scope = self._scope_of(self.headers)
        super().on_headers_complete()
        self._extend_scope(self.cycle, self.receiving_since)

    def _start_cycle(self, request: DirectRequest, app: Any) -> None:
        """Let `app` answer a complete direct request in a cycle of uvicorn."""
        self._waiting = None
        path, scope = request.endpoint.path, self._scope_of(request.all_headers)
        self.cycle = RequestResponseCycle(
            scope=scope | {"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""},
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=request.keep_alive,
            on_response=self.on_response_complete,
        )
        self.cycle.body += request.whole_body
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._extend_scope(self.cycle, request.arrival_time)
        self._start_asgi_task(self.cycle, app)

    def _extend_scope(self, cycle: RequestResponseCycle, arrival_time: float | None) -> None:
        scope: dict[str, Any] = cycle.scope  # type: ignore[assignment]
        scope[ARRIVAL_TIME], scope[PENDING_TASKS] = arrival_time, self.tasks
        scope[WRITE_RESPONSE] = partial(self._write_response, cycle)

    def answer(self, request: DirectRequest, pending: int) -> None:
        """Answer a direct request of this connection, unless a cycle does already, or the connection was closed."""
        if self._waiting is not request:
            return
        if self.transport.is_closing():
            self._waiting = None
            return
        request.pending = len(self.tasks) + pending
        answer = request.endpoint.answer(request)
        if not isinstance(answer, Response):
            self._start_cycle(request, partial(_send_awaited, answer))
            return
        self._waiting = None
        data, keep_alive = self._encoded(answer, keep_alive=request.keep_alive)
        TimeoutProtocol._buffered.append((self.transport, data))
        if not keep_alive or len(TimeoutProtocol._buffered) >= MAX_BUFFERED_RESPONSES:
            _write_buffered()
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Answer CONNECT and upgrades as plain HTTP, and close afterwards, because what follows cannot be parsed."""
        if self._is_idle():
            self.transport.close()
        self.cycle.keep_alive = False

    def _is_idle(self) -> bool:
        return self._waiting is None and (self.cycle is None or self.cycle.response_complete)

    def _write_response(self, cycle: RequestResponseCycle, response: Response) -> bool:
        """Write a complete response; return False, without effect, where ASGI messages must be used instead."""
        if cycle.response_started or self.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if cycle.disconnected:
            return True
        data, cycle.keep_alive = self._encoded(response, keep_alive=cycle.keep_alive)
        self._buffer(data, is_last=not cycle.keep_alive)
        cycle.on_response()
        return True

    def _encoded(self, response: Response, *, keep_alive: bool) -> tuple[bytes, bool]:
        """Return the bytes of a response, and whether the connection stays open after it."""
        lines, has_connection_header = [STATUS_LINE[response.status]], False
        for name, value in (*self.server_state.default_headers, *response.all_headers()):
            lines += (name, b": ", value, b"\r\n")
            if name == b"connection":
                keep_alive, has_connection_header = False, True
        if not keep_alive and not has_connection_header:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", response.body)
        return b"".join(lines), keep_alive

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

    def is_overdue(self, now: float) -> bool:
        """Return whether a request takes too long to arrive, or none has arrived for too long."""
        if self.receiving_since is not None:
            return now - self.receiving_since > TIMEOUT_SECONDS
        return self.idle_since is not None and now - self.idle_since > self.timeout_keep_alive

    def _sweep(self) -> None:
        """Close the connections that exceed the timeout, and schedule the next sweep while there are connections."""
        TimeoutProtocol._is_sweeping = bool(self.connections)
        if TimeoutProtocol._is_sweeping:
            self.loop.call_later(SWEEP_SECONDS, self._sweep)
        now = time.perf_counter()
        for connection in list(self.connections):
            if isinstance(connection, TimeoutProtocol) and connection.is_overdue(now):
                connection.transport.close()


def _answer_requests() -> None:
    requests = TimeoutProtocol._unanswered.copy()
    TimeoutProtocol._unanswered.clear()
    for request in requests:
        try:
            request.protocol.answer(request, len(requests))
        except Exception as error:  # the other callers would wait for ever
            log.error("a response cannot be sent: %s", type(error).__name__)
            request.protocol.transport.close()
    _write_buffered()


async def _send_awaited(answer: Coroutine[None, None, Response], scope: Scope, _receive: Receive, send: Send) -> None:
    """Send the response that a coroutine returns, as an ASGI application."""
    response = await answer
    if not scope.pop(WRITE_RESPONSE)(response):
        await send_response(response, send)


def _write_buffered() -> None:
    buffered = TimeoutProtocol._buffered.copy()
    TimeoutProtocol._buffered.clear()  # first, so that a failing write does not block the later responses
    for transport, data in buffered:
        if not transport.is_closing():  # bytes that are not HTTP may have followed the request and closed it
            transport.write(data)
