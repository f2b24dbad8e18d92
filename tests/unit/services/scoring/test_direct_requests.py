"""A direct endpoint answers the same bytes as ASGI, however requests are written, cut into parts and pipelined."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState

from cardwatch.errors import InvalidRecord
from services.scoring.application import ScoringApplication
from services.scoring.http.routes import CompleteRequest, DirectAnswer, Request, Response, Routes
from services.scoring.http.timeout_protocol import TimeoutProtocol
from services.scoring.metrics import ScoringMetrics

PATH, MAX_BYTES = "/v1/score", 40


async def later(body: bytes) -> Response:
    for _ in range(3):
        await asyncio.sleep(0)
    return now(body)


def now(body: bytes) -> Response:
    if b"bad" in body:
        raise InvalidRecord("it is bad", field="$.it")
    if b"break" in body:
        raise ZeroDivisionError
    if b"no status" in body:
        return Response(body, status=1_000)
    if b"close" in body:
        return Response(body, headers=((b"connection", b"close"),))
    return Response(b"answer to " + body)


class Answers:
    """Endpoints that answer with the body; one that contains `wait` gets its answer later."""

    def __init__(self) -> None:
        self.direct = 0

    async def by_asgi(self, request: Request) -> Response:
        body = await request.body(MAX_BYTES)
        return await later(body) if b"wait" in body else now(body)

    def directly(self, request: CompleteRequest) -> DirectAnswer:
        assert request.headers[b"host"] == b"x"
        self.direct += 1
        return later(request.whole_body) if b"wait" in request.whole_body else now(request.whole_body)


class Transport(asyncio.Transport):
    """A transport that keeps what is written to it until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        if not self.is_closed:
            self.sent += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Step(NamedTuple):
    """Bytes that arrive together, and how often the event loop runs afterwards."""

    data: bytes
    iterations: int


class Outcome(NamedTuple):
    """The bytes that a connection sent, whether it was closed, and the number of direct requests."""

    sent: bytes
    is_closed: bool
    direct: int


def outcome(metrics: ScoringMetrics, steps: list[Step], *, is_direct: bool, shut_down_before: int | None) -> Outcome:
    """Return the outcome of a connection on which these bytes arrive; the server is stopped before one of the steps."""

    async def connection() -> Outcome:
        answers, transport = Answers(), Transport()
        routes = Routes({("POST", PATH): answers.by_asgi}, metrics)
        direct = [routes.direct(PATH, answers.directly, MAX_BYTES)] if is_direct else []
        application = ScoringApplication(routes, not_found, None, metrics, None, direct)  # type: ignore[arg-type]
        config = Config(application, interface="asgi3", lifespan="off", log_config=None)
        protocol = TimeoutProtocol(config, ServerState(), {})
        protocol.connection_made(transport)
        for number, step in enumerate(steps):
            if number == shut_down_before:
                protocol.shutdown()
            if not transport.is_closed:
                protocol.data_received(step.data)
            for _ in range(step.iterations):
                await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return Outcome(transport.sent, transport.is_closed, answers.direct)

    return asyncio.run(connection())


async def not_found(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def encoded(method: str, target: str, version: str, headers: tuple[str, ...], body: bytes, *, chunked: bool) -> bytes:
    if chunked:
        framing, body = (
            "Transfer-Encoding: chunked",
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n",
        )
    else:
        framing = f"Content-Length: {len(body)}"
    lines = "\r\n".join([f"{method} {target} HTTP/{version}", "Host: x", *headers, framing])
    return f"{lines}\r\n\r\n".encode() + body


BODIES = st.sampled_from([b"", b"a", b"wait", b"bad", b"wait, bad", b"break", b"close", b"x" * MAX_BYTES, b"x" * 99])
REQUESTS = st.builds(  # values that are repeated are drawn more often
    encoded,
    st.sampled_from([*["POST"] * 9, "PUT", "HEAD", "GET"]),
    st.sampled_from([*[PATH] * 9, f"{PATH}?a=1", "/v1%2Fscore", "/else"]),
    st.sampled_from([*["1.1"] * 6, "1.0"]),
    st.sampled_from([*[()] * 5, ("Connection: close",), ("Connection: keep-alive",), ("Expect: 100-continue",)]),
    BODIES,
    chunked=st.sampled_from([*[False] * 6, True]),
)
GARBAGE = st.sampled_from([b"\r\n", b"no HTTP\r\n\r\n"])


@st.composite
def arrivals(draw: st.DrawFn) -> list[Step]:
    stream = b"".join(draw(st.lists(st.one_of(REQUESTS, REQUESTS, REQUESTS, GARBAGE), min_size=1, max_size=3)))
    cuts = sorted({0, len(stream), *draw(st.lists(st.integers(0, len(stream)), max_size=4))})
    return [Step(stream[a:b], draw(st.sampled_from([0, 1, 20]))) for a, b in pairwise(cuts)]


USUAL = encoded("POST", PATH, "1.1", (), b"body", chunked=False)


@settings(max_examples=500, deadline=None)
@example(steps=[Step(USUAL[:-2], 1), Step(USUAL[-2:], 1)], shut_down_before=1)  # before its last bytes
@example(steps=[Step(USUAL, 0), Step(b"\r\n", 1)], shut_down_before=1)  # before it is answered
@example(steps=[Step(USUAL + USUAL, 20)], shut_down_before=None)
@given(steps=arrivals(), shut_down_before=st.none() | st.integers(0, 3))
def test_a_direct_endpoint_answers_the_bytes_that_asgi_answers(
    metrics: ScoringMetrics, steps: list[Step], shut_down_before: int | None
) -> None:
    direct = outcome(metrics, steps, is_direct=True, shut_down_before=shut_down_before)
    by_asgi = outcome(metrics, steps, is_direct=False, shut_down_before=shut_down_before)
    assert (direct.sent, direct.is_closed) == (by_asgi.sent, by_asgi.is_closed)


@pytest.mark.parametrize("body", [b"a", b"wait", b"bad", b"break", b"x" * MAX_BYTES])
def test_a_usual_request_is_answered_directly_and_the_next_one_too(metrics: ScoringMetrics, body: bytes) -> None:
    request = encoded("POST", PATH, "1.1", (), body, chunked=False)
    found = outcome(metrics, [Step(request, 20), Step(request, 20)], is_direct=True, shut_down_before=None)
    assert found.direct == 2
    assert found.sent.count(b"HTTP/1.1 ") == 2


def together(metrics: ScoringMetrics, bodies: Sequence[bytes], *closed: int) -> list[Transport]:
    """Return connections on which a direct request each arrived in one iteration of the event loop.

    Those with the numbers in `closed` were closed before it ended.
    """

    async def connections() -> list[Transport]:
        routes, transports = Routes({}, metrics), [Transport() for _ in bodies]
        direct = [routes.direct(PATH, Answers().directly, MAX_BYTES)]
        application = ScoringApplication(routes, not_found, None, metrics, None, direct)  # type: ignore[arg-type]
        config, state = Config(application, interface="asgi3", lifespan="off", log_config=None), ServerState()
        for transport, body in zip(transports, bodies, strict=True):
            protocol = TimeoutProtocol(config, state, {})
            protocol.connection_made(transport)
            protocol.data_received(encoded("POST", PATH, "1.1", (), body, chunked=False))
        for number in closed:
            transports[number].close()
        for _ in range(20):
            await asyncio.sleep(0)
        return transports

    return asyncio.run(connections())


def test_a_closed_connection_gets_no_answer_and_the_others_do(metrics: ScoringMetrics) -> None:
    first, second, third = together(metrics, [b"a", b"b", b"wait"], 0)
    assert first.sent == b""
    assert second.sent.endswith(b"answer to b")
    assert third.sent.endswith(b"answer to wait")


def test_an_answer_that_cannot_be_sent_closes_its_connection_only(
    metrics: ScoringMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = together(metrics, [b"no status", b"b"])
    assert (broken.sent, broken.is_closed) == (b"", True)
    assert (other.sent.endswith(b"answer to b"), other.is_closed) == (True, False)
    assert "a response cannot be sent: KeyError" in caplog.text
