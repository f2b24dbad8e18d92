"""Health checks of a process over HTTP: `/livez`, `/readyz` with a reason, and Prometheus' `/metrics`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import Gauge, make_wsgi_app

from adapters.runtime.addresses import without_userinfo
from adapters.runtime.ports import LOOPBACK
from adapters.runtime.settings import Settings
from cardwatch.errors import PortInUse

STALL_SECONDS: Final = 120.0
"""Maximum time of one iteration of a main loop. A slower process is considered to hang and should be restarted."""

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Health:
    """Liveness and readiness of a process. One thread writes, any thread reads.

    A process that is not ready waits for another part of the system and continues by itself. `now_seconds` is a
    monotonic clock.
    """

    def __init__(
        self, now_seconds: Callable[[], float] = time.monotonic, *, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._now_seconds, self._stall_seconds = now_seconds, stall_seconds
        self._last_beat = now_seconds()
        self._reason: str | None = "it has just been started"

    def turn(self) -> None:
        """Report that the main loop is running."""
        self._last_beat = self._now_seconds()

    def waiting(self, reason: str) -> None:
        """Report that the process waits, and for what. Anyone can read it, so it is shown without userinfo."""
        self._reason = without_userinfo(reason)
        self.turn()

    def ready(self) -> None:
        """Report that the process does its work."""
        self._reason = None
        self.turn()

    @property
    def why_not_live(self) -> str | None:
        """Reason to restart the process, None if it is live."""
        idle_seconds = self._now_seconds() - self._last_beat
        if idle_seconds < self._stall_seconds:
            return None
        return f"the main loop has stood still for {idle_seconds:.0f} s, longer than {self._stall_seconds:.0f} s"

    @property
    def why_not_ready(self) -> str | None:
        """Reason why the process is not ready, None if it is."""
        return self.why_not_live or self._reason


@contextmanager
def serve_health(settings: Settings, health: Health) -> Iterator[None]:
    """Serve health checks on `settings.watch_port` during the block; do nothing without a port.

    Raises `PortInUse` if the port is taken.
    """
    if settings.watch_port is None:
        yield
        return
    ready = Gauge("cardwatch_ready", "1 if the process does its work, 0 while it waits for something.")
    ready.set_function(lambda: float(health.why_not_ready is None))
    host, port = settings.bind or LOOPBACK, settings.watch_port
    try:
        server = make_server(host, port, _application(health), server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise PortInUse(f"CARDWATCH_WATCH_PORT={port} on {host} cannot be listened on: {error}") from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _application(health: Health) -> Application:
    metrics: Application = make_wsgi_app()

    def respond(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start_response)
            case "/livez":
                return _status(start_response, "alive", "stalled", health.why_not_live)
            case "/readyz":
                return _status(start_response, "ready", "waiting", health.why_not_ready)
            case path:
                return _json(
                    start_response,
                    HTTPStatus.NOT_FOUND,
                    {"error": f"there is no {path}, only /livez, /readyz and /metrics"},
                )

    return respond


def _status(start_response: StartResponse, good: str, bad: str, reason: str | None) -> list[bytes]:
    if reason is None:
        return _json(start_response, HTTPStatus.OK, {"status": good})
    return _json(start_response, HTTPStatus.SERVICE_UNAVAILABLE, {"status": bad, "reason": reason})


def _json(start_response: StartResponse, status: HTTPStatus, body: dict[str, str]) -> list[bytes]:
    content = json.dumps(body).encode() + b"\n"
    start_response(
        f"{status.value} {status.phrase}",
        [("Content-Type", "application/json"), ("Content-Length", str(len(content)))],
    )
    return [content]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = 10  # a client that sends nothing must not occupy a thread

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, because a line per scrape is noise."""
