"""What we make of a Prefect server that is busy for a moment, or for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from adapters import prefect as prefect_api
from adapters.prefect import PrefectDeployments
from cardwatch.errors import OrchestratorUnavailable


class Busy(ThreadingHTTPServer):
    """Answers every GET alike, and 503 to so many requests for a run; remembers all that were asked for."""

    refusals = 0
    found = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[dict[str, Any]] = []


class Answering(BaseHTTPRequestHandler):
    server: Busy

    def do_GET(self) -> None:
        self._answer(self.server.found, {"id": "deployment", "state": {"type": "RUNNING", "name": "Running"}})

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


def test_a_run_with_a_key_is_asked_for_under_it(server: Busy) -> None:
    with closing(PrefectDeployments(f"http://127.0.0.1:{server.server_port}")) as deployments:
        deployments.run("retrain/local", {}, key="the first of the day")
    assert [asked["idempotency_key"] for asked in server.asked] == ["the first of the day"]


def test_a_run_that_the_server_has_forgotten_has_crashed(server: Busy) -> None:
    with closing(PrefectDeployments(f"http://127.0.0.1:{server.server_port}")) as deployments:
        assert deployments.state("7").kind == "RUNNING"
        server.found = 404
        state = deployments.state("7")
    assert (state.kind, state.ended) == ("CRASHED", True)


def test_a_deployment_is_unknown_only_if_the_server_says_so(server: Busy) -> None:
    with closing(PrefectDeployments(f"http://127.0.0.1:{server.server_port}")) as deployments:
        assert deployments.exists("retrain/local")
        server.found = 404
        assert not deployments.exists("retrain/local")
        server.found = 500
        with pytest.raises(OrchestratorUnavailable, match="answered 500"):
            deployments.exists("retrain/local")


def test_a_server_that_stays_busy_is_unavailable(server: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_api, "_BUSY_SECONDS", 0.6)
    server.refusals = 1_000
    with pytest.raises(OrchestratorUnavailable, match=r"answered 503: .*Service Unavailable"):
        run(server)
