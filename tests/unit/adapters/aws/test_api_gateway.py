"""A question through API Gateway: signed, with its key, and every answer that is none as an error of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest
from botocore.stub import Stubber

from adapters.aws.api_gateway import api_key, post_signed
from cardwatch.errors import CardwatchError, Misconfigured, ScoringUnavailable

REGION = "eu-central-1"


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    asked: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(({name.lower(): value for name, value in self.headers.items()}, content))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/live/v1/score", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")


def test_a_question_is_signed_for_the_api_and_carries_the_key() -> None:
    with answering(200, b'{"action": "approve"}') as (url, asked):
        assert post_signed(url, b"{}", region=REGION, key="the-key") == b'{"action": "approve"}'
    [(headers, body)] = asked
    assert body == b"{}"
    assert headers["x-api-key"] == "the-key"
    assert headers["content-type"] == "application/json"
    assert headers["x-amz-security-token"] == "session"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert f"/{REGION}/execute-api/aws4_request" in headers["authorization"]
    assert "secret" not in str(headers)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_throttle_and_a_failure_may_be_asked_again(status: int) -> None:
    with answering(status, b"busy") as (url, _), pytest.raises(ScoringUnavailable, match=f"answers {status}: busy"):
        post_signed(url, b"{}", region=REGION, key="k")


@pytest.mark.parametrize("status", [403, 422])
def test_a_refusal_says_what_was_said(status: int) -> None:
    with answering(status, b"Forbidden") as (url, _), pytest.raises(CardwatchError, match="Forbidden") as caught:
        post_signed(url, b"{}", region=REGION, key="k")
    assert not caught.value.retriable


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(ScoringUnavailable, match="does not answer"):
        post_signed("http://127.0.0.1:9/v1/score", b"{}", region=REGION, key="k")


def test_the_key_is_asked_of_api_gateway_by_its_id() -> None:
    client = boto3.client("apigateway", region_name=REGION)
    with Stubber(client) as stub:
        stub.add_response("get_api_key", {"value": "the-key"}, {"apiKey": "abc", "includeValue": True})
        assert api_key("abc", REGION, client=client) == "the-key"
        stub.add_client_error("get_api_key", "NotFoundException", http_status_code=404)
        with pytest.raises(Misconfigured, match="API key abc refuses a call"):
            api_key("abc", REGION, client=client)
