"""What we make of a Prefect server that is busy for a moment, or for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from adapters import prefect_api
from adapters.prefect_api import PrefectDeployments
from cardwatch.errors import OrchestratorUnavailable


class Busy(ThreadingHTTPServer):
    """Knows one deployment; answers 503 to so many requests for a run, and remembers all that were asked for."""

    refusals = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[dict[str, Any]] = []


class Answering(BaseHTTPRequestHandler):
    server: Busy

    def do_GET(self) -> None:
        self._answer(200, {"id": "deployment"})

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        busy = len(self.server.asked) <= self.server.refusals
        self._answer(503 if busy else 201, {"exception_message": "Service Unavailable"} if busy else {"id": "run"})

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server() -> Iterator[Busy]:
    with Busy() as busy:
        thread = Thread(target=busy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield busy
        busy.shutdown()
        thread.join()


def run(server: Busy) -> str:
    with closing(PrefectDeployments(f"http://127.0.0.1:{server.server_port}")) as deployments:
        return deployments.run("retrain/local", {"day": 1})


def test_a_busy_server_is_asked_again_for_the_same_run(server: Busy) -> None:
    server.refusals = 2
    assert run(server) == "run"
    assert len(server.asked) == 3
    assert server.asked[0] == server.asked[1] == server.asked[2]
    assert server.asked[0]["idempotency_key"]


def test_a_server_that_stays_busy_is_unavailable(server: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_api, "_BUSY_SECONDS", 0.6)
    server.refusals = 1_000
    with pytest.raises(OrchestratorUnavailable, match=r"answered 503: .*Service Unavailable"):
        run(server)
