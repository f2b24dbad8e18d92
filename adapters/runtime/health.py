"""What a process says of itself over HTTP: `/livez`, `/readyz` with a reason, and Prometheus' `/metrics`."""

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

from adapters.runtime.ports import LOOPBACK
from adapters.runtime.settings import Settings
from cardwatch.errors import PortInUse

STALL_SECONDS: Final = 120.0
"""So long a main loop may work on one thing; beyond it, it hangs and somebody should start the process again."""

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Health:
    """Whether a process lives, and whether it does its work. One thread writes, any thread reads.

    Not ready is no failure: the process waits for something, says for what, and goes on by itself. `now_seconds` is a
    clock that does not go backwards.
    """

    def __init__(
        self, now_seconds: Callable[[], float] = time.monotonic, *, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._now_seconds, self._stall_seconds = now_seconds, stall_seconds
        self._turned = now_seconds()
        self._waits_for: str | None = "it has just been started"

    def turn(self) -> None:
        """The main loop has come round."""
        self._turned = self._now_seconds()

    def waiting(self, reason: str) -> None:
        """The work stands still until this has passed."""
        self._waits_for = reason
        self.turn()

    def ready(self) -> None:
        """The work is being done."""
        self._waits_for = None
        self.turn()

    @property
    def why_not_live(self) -> str | None:
        """Why the process should be started again, None if it is well."""
        stood = self._now_seconds() - self._turned
        if stood < self._stall_seconds:
            return None
        return f"the main loop has stood still for {stood:.0f} s, longer than {self._stall_seconds:.0f} s"

    @property
    def why_not_ready(self) -> str | None:
        """What the process waits for, None if it does its work."""
        return self.why_not_live or self._waits_for


@contextmanager
def exposed(settings: Settings, health: Health) -> Iterator[None]:
    """Answer on `settings.watch_port`, in threads, for as long as the block runs; raises `PortInUse` if it is taken.

    Without a port nothing is exposed.
    """
    if settings.watch_port is None:
        yield
        return
    ready = Gauge("cardwatch_ready", "1 if the process does its work, 0 while it waits for something.")
    ready.set_function(lambda: float(health.why_not_ready is None))
    host, port = settings.bind or LOOPBACK, settings.watch_port
    try:
        server = make_server(host, port, _application(health), server_class=_Server, handler_class=_Quiet)
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

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start_response)
            case "/livez":
                return _said(start_response, "alive", "stalled", health.why_not_live)
            case "/readyz":
                return _said(start_response, "ready", "waiting", health.why_not_ready)
            case path:
                return _json(
                    start_response,
                    HTTPStatus.NOT_FOUND,
                    {"error": f"there is no {path}, only /livez, /readyz and /metrics"},
                )

    return answer


def _said(start_response: StartResponse, good: str, bad: str, reason: str | None) -> list[bytes]:
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


class _Quiet(WSGIRequestHandler):
    timeout = 10  # a caller that sends nothing keeps no thread

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads a line for each scrape."""
