"""Requests of the scoring clients and their handling of responses, with a server that answers what it is told."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import pytest

from adapters.runtime.addresses import HttpUrl, Secret
from adapters.runtime.ports import LOOPBACK
from adapters.runtime.settings import Settings
from adapters.scoring.client import ExampleClient, ScoringClient, ServedVersionClient
from adapters.scoring.wire_format import (
    BINARY,
    DEADLINE_HEADER,
    IDS_HEADER,
    MAX_IDS,
    MAX_IDS_BYTES,
    MSGPACK,
    SCHEMA_HEADER,
    decode_ids,
    encode_ids,
    encode_scores,
)
from cardwatch.errors import Misconfigured, NoModelServed, SchemaMismatch, ScorerBusy, ScoringUnavailable
from cardwatch.features.definitions import FEATURES
from cardwatch.ports import Scores

ROWS = np.zeros((2, len(FEATURES)), np.float32)
SCORES = encode_scores(
    Scores(
        model_version="1",
        model_digest="d",
        margins=np.zeros(2, np.float32),
        probabilities=np.zeros(2),
        reasons=[[], []],
    ),
    MSGPACK,
)


class Answer(NamedTuple):
    """A response. `delay_seconds`: time before it; `closes`: the connection is closed instead of a response."""

    status: int = 200
    body: bytes = SCORES
    delay_seconds: float = 0.0
    closes: bool = False


class Server:
    """A server on the loopback interface that gives these answers in turn, and the last one to all further requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.asked: list[tuple[str, Message]] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def do_POST(self) -> None:
                server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.do_GET()

            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers))
                answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                time.sleep(answer.delay_seconds)
                if answer.closes:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.settings = Settings(
            scoring_url=HttpUrl(f"http://{LOOPBACK}:{self.http.server_port}/prefix/"), api_key=Secret("key")
        )

    def headers(self, name: str) -> list[str | None]:
        return [headers.get(name) for _, headers in self.asked]


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = Thread(target=running.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.http.shutdown()
    running.http.server_close()
    thread.join()


def error(reason: str) -> bytes:
    return json.dumps({"error": reason}).encode()


def score(client: ScoringClient, **options: Any) -> Scores:
    return client.score(ROWS, np.zeros(2), schema_hash="0123", **options)


def test_requests_share_a_connection_and_carry_key_schema_and_deadline(server: Server) -> None:
    with closing(ScoringClient(server.settings, timeout_seconds=1.5)) as client:
        assert score(client).model_version == "1"
        score(client)
    assert server.connections == 1
    assert [path for path, _ in server.asked] == ["/prefix/invocations"] * 2
    headers = server.asked[1][1]
    assert headers["Authorization"] == "Bearer key"
    assert (headers[SCHEMA_HEADER], headers[DEADLINE_HEADER], headers["Content-Type"]) == ("0123", "1500", BINARY)


def test_requests_leave_nothing_to_the_garbage_collector(server: Server) -> None:
    with closing(ScoringClient(server.settings, timeout_seconds=1.0)) as client:
        score(client)
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                score(client)
            assert gc.collect() < 20
        finally:
            gc.enable()


def test_a_connection_that_the_server_has_closed_is_replaced(server: Server) -> None:
    server.answers = [Answer(), Answer(closes=True), Answer()]
    with closing(ScoringClient(server.settings, timeout_seconds=1.0)) as client:
        score(client)
        assert score(client).model_version == "1"
    assert (len(server.asked), server.connections) == (3, 2)


def test_a_server_that_closes_every_connection_is_unavailable(server: Server) -> None:
    server.answers = [Answer(closes=True)]
    client = ScoringClient(server.settings, timeout_seconds=1.0)
    with closing(client), pytest.raises(ScoringUnavailable, match="does not answer: Empty reply from server"):
        score(client)
    assert 1 < len(server.asked) < 5


def test_a_large_batch_arrives_whole(server: Server) -> None:
    rows = np.arange(20_000 * len(FEATURES), dtype=np.float32).reshape(20_000, len(FEATURES))
    with closing(ScoringClient(server.settings, timeout_seconds=30.0)) as client:
        with pytest.raises(ScoringUnavailable, match="answered 2 scores to 20000 rows"):
            client.score(rows, np.zeros(20_000), schema_hash="0123")
        server.answers = [Answer(307)]
        with pytest.raises(ScoringUnavailable, match="answered 307"):  # the body is not sent elsewhere
            score(client)
    assert server.bodies[0] == rows.tobytes() + bytes(8 * 20_000)
    assert server.headers("Expect") == [None, None]


def test_a_proxy_of_the_environment_gets_no_requests(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{LOOPBACK}:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with closing(ScoringClient(server.settings, timeout_seconds=1.0)) as client:
        assert score(client).model_version == "1"


def test_a_late_response_is_not_waited_for(server: Server) -> None:
    server.answers = [Answer(delay_seconds=1.0)]
    client = ScoringClient(server.settings, timeout_seconds=0.1)
    with closing(client), pytest.raises(ScoringUnavailable, match="does not answer: Operation timed out"):
        score(client)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(Answer(delay_seconds=1.0), "Operation timed out"), (Answer(closes=True), "Empty reply from server")],
)
def test_the_same_failure_has_the_same_reason_whenever_it_happens(server: Server, answer: Answer, reason: str) -> None:
    server.answers = [answer]
    with (
        closing(ScoringClient(server.settings, timeout_seconds=0.1)) as client,
        pytest.raises(ScoringUnavailable) as told,
    ):
        score(client)
    address = str(server.settings.scoring_url).rstrip("/")
    assert str(told.value) == f"the scoring service at {address} does not answer: {reason}"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"http://{LOOPBACK}:9", f"Failed to connect to {LOOPBACK}:9: Could not connect to server"),
        ("http://h\u00f6st.invalid", "Could not resolve host: h\u00f6st.invalid"),
    ],
)
def test_a_server_that_is_not_there_is_told_with_its_address(address: str, reason: str) -> None:
    settings = Settings(scoring_url=HttpUrl(address), api_key=Secret("key"))
    with closing(ServedVersionClient(settings)) as client, pytest.raises(ScoringUnavailable) as told:
        client.version()
    assert str(told.value) == f"the scoring service at {address} does not answer: {reason}"


def test_a_request_carries_the_trace_context_of_its_caller(server: Server) -> None:
    contexts = iter([{"traceparent": "of the first step"}, {}])
    with closing(ScoringClient(server.settings, timeout_seconds=1.0, trace_headers=lambda: next(contexts))) as client:
        score(client)
        score(client)
    assert server.headers("traceparent") == ["of the first step", None]


@pytest.mark.parametrize(
    "address", ["http://[::1", "http://host:port", "http://host:99999", "http://:80", "http://host:0"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(Misconfigured, match="is not the address of a scoring service"):
        ScoringClient(Settings(scoring_url=HttpUrl(address)), timeout_seconds=1.0)


@pytest.mark.parametrize(("level", "sent"), [(logging.INFO, None), (logging.DEBUG, "a%2C%C3%A4,b")])
def test_transaction_ids_are_sent_at_debug_only(
    server: Server, caplog: pytest.LogCaptureFixture, level: int, sent: str | None
) -> None:
    caplog.set_level(level, "adapters.scoring.client")
    with closing(ScoringClient(server.settings, timeout_seconds=1.0)) as client:
        score(client, transaction_ids=["a,\u00e4", "b"])
        score(client)
    assert server.headers(IDS_HEADER) == [sent, None]


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (503, "no champion: train one", NoModelServed),
        (503, "busy: 2,000 requests are waiting", ScorerBusy),
        (429, "the API key of 'stream' has used up its rate", ScorerBusy),
        (500, "internal error", ScoringUnavailable),
        (409, "the rows have schema 0123", SchemaMismatch),
    ],
)
def test_a_service_without_a_model_has_its_own_error(
    server: Server, status: int, reason: str, kind: type[Exception]
) -> None:
    server.answers = [Answer(status, error(reason))]
    client = ScoringClient(server.settings, timeout_seconds=1.0)
    with closing(client), pytest.raises(kind, match=reason) as caught:
        score(client)
    assert type(caught.value) is kind


@pytest.mark.parametrize(("busy_seconds", "requests"), [(0.0, 1), (30.0, 4)])
def test_a_busy_service_is_asked_again_until_the_time_for_that_is_over(
    server: Server, busy_seconds: float, requests: int
) -> None:
    busy = Answer(503, error("busy: there is no answer within 5000 ms"))
    server.answers = [busy, busy, busy, Answer()]
    client = ScoringClient(server.settings, timeout_seconds=1.0, busy_seconds=busy_seconds)
    with closing(client), nullcontext() if requests > 1 else pytest.raises(ScorerBusy):
        score(client)
    assert len(server.asked) == requests


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"\xff", "status 200"),
        (200, b"[]", "status 200"),
        (401, error("the key is not known"), "the key is not known"),
        (502, b"<html>", "<html>"),
    ],
)
def test_an_answer_without_a_version_or_an_example_is_told(server: Server, status: int, body: bytes, said: str) -> None:
    server.answers = [Answer(status, body)]
    with closing(ServedVersionClient(server.settings)) as client, pytest.raises(ScoringUnavailable, match=said):
        client.version()
    refused = Misconfigured if status == 401 else ScoringUnavailable
    with closing(ExampleClient(server.settings)) as examples, pytest.raises(refused, match=said):
        examples.example()


def test_the_served_version_is_that_of_the_answer_which_may_be_none(server: Server) -> None:
    server.answers = [Answer(200, b'{"version": "7"}'), Answer(200, b'{"version": null}')]
    with closing(ServedVersionClient(server.settings)) as client:
        assert (client.version(), client.version()) == ("7", None)


def sent_and_read(transaction_ids: list[str]) -> list[str]:
    return decode_ids({IDS_HEADER.lower().encode(): encode_ids(transaction_ids).encode("ascii")})


@pytest.mark.parametrize(
    "odd", ["a,b", "50%", "two words", "line\nbreak", "\u00e4\u20ac\U0001f600", "c" * 64, "\u20ac" * 64]
)
def test_any_id_is_decoded_as_it_was_encoded(odd: str) -> None:
    assert sent_and_read(["t-1", odd, "t-3"]) == ["t-1", odd, "t-3"]


def test_no_more_ids_are_sent_than_fit() -> None:
    assert encode_ids(["a", "b"]) == "a,b"
    assert encode_ids(["a"] * MAX_IDS) == ",".join(["a"] * MAX_IDS)
    assert encode_ids(["a"] * (MAX_IDS + 1)) == ",".join(["a"] * MAX_IDS) + ",..."
    # 64 characters of nine bytes each and a comma: 14 of them are 8,078 bytes, and a 15th has no room.
    long = encode_ids(["\u20ac" * 64] * 20)
    assert (len(long), long.count("%E2%82%AC") / 64, long.endswith(",...")) == (14 * 577 + 3, 14, True)
    assert len(long) <= MAX_IDS_BYTES
    assert sent_and_read([f"t-{number}" for number in range(1_000)]) == [f"t-{number}" for number in range(MAX_IDS)]


def test_received_ids_are_cut_to_their_maximum_lengths() -> None:
    name = IDS_HEADER.lower().encode()
    assert decode_ids({}) == []
    assert decode_ids({name: b""}) == []
    assert decode_ids({name: b"a,,%ff"}) == ["a", "", "\ufffd"]
    assert decode_ids({name: b"x" * 60_000}) == ["x" * 64]
    assert len(decode_ids({name: b"," * 60_000})) == MAX_IDS
