"""The scoring service responds to any bytes or closes the connection, never with 500, and continues to serve.

Valid requests are damaged in their bodies, heads and framing. They are sent over sockets to the running service, and
much faster to the endpoints in this process. Each failure shows the bytes that were sent.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random, SystemRandom
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.scoring.api_keys import KeyRing, RateLimit
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.registry import ModelVersion
from models.training import FittedDetector
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.endpoints import ScoringApi
from services.scoring.api.example import ExampleSource
from services.scoring.api.preview import PreviewScorer
from services.scoring.http.admission import Admission
from services.scoring.http.routes import Routes
from services.scoring.model.manager import LoadedModel, ModelStatus, ServedModels
from services.scoring.openapi.documentation import Documentation, openapi
from services.scoring.openapi.examples import examples_without_model
from tests.integration.scoring_fuzzer import Fuzzer, encoded, valid_requests

Stack = Any

SEED = 20_261_124
CLOSE_TIMEOUT_SECONDS = 15.0
"""Longer than the timeout of the service for an incomplete request."""
CONCURRENCY = 48
STATUSES = {200, 400, 401, 403, 404, 405, 409, 413, 415, 422, 426}


@pytest.fixture(scope="module")
def service(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], tmp_path_factory: pytest.TempPathFactory
) -> Stack:
    stack.promote(detectors[0], tmp_path_factory.mktemp("models") / "champion")
    return stack


LONG = [pytest.mark.long, pytest.mark.timeout(1_200)]


@pytest.mark.parametrize("connections", [4_000, pytest.param(250_000, marks=LONG)])
def test_no_bytes_on_a_socket_hang_or_break_the_service(
    service: Stack, connections: int, until: Callable[..., float]
) -> None:
    seed = SEED if connections <= 4_000 else SystemRandom().getrandbits(32)
    workers, before = service.workers(), answers(service)
    [worker] = [psutil.Process(pid) for pid in workers]
    files = worker.num_fds()

    seen = asyncio.run(all_sent(service, seed, connections))

    assert service.workers() == workers
    assert answers(service) == before
    until(lambda: worker.num_fds() <= files + 4, "connections are closed")
    assert {200, 400, 401, 405, 409, 413, 415, 422} <= seen.keys(), f"seed {seed} tried too little: {seen}"


def answers(service: Stack) -> list[bytes]:
    """Return the responses to valid requests, which are always the same bytes."""
    got = [
        service.post(one.path, one.body, **{"Content-Type": one.content_type, **dict(one.headers)})
        for one in valid_requests()
    ]
    assert [answer.status_code for answer in got] == [200] * len(got)
    return [answer.content for answer in got]


async def all_sent(service: Stack, seed: int, connections: int) -> Counter[int]:
    """Return the number of responses by status."""
    random = Random(seed)
    fuzzer, numbers, seen = Fuzzer(random, service.key["Authorization"]), iter(range(connections)), Counter[int]()

    async def one_after_the_other() -> None:
        for number in numbers:
            fragments = fuzzer.fragments(fuzzer.connection())
            received = await conversation(service.address, fragments, wait_for_close=random.random() < 0.05)
            sent = b"".join(fragments)
            about = f"connection {number} of seed {seed}: {sent[:2_000]!r}"
            assert received is not None, f"neither answered nor closed: {about}"
            for status, content in responses(received, b"HEAD" in sent):
                seen[status] += 1
                is_busy = status == 503 and content.startswith(b'{"error":"busy: ')
                assert status in STATUSES or is_busy, f"{status} {content!r}: {about}"

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(one_after_the_other())
    return seen


async def conversation(address: tuple[str, int], fragments: list[bytes], *, wait_for_close: bool) -> bytes | None:
    """Return all bytes until the service closes the connection; None if it does not.

    With `wait_for_close` the service must close it; a connection that is idle after its responses is closed here after
    a while. Otherwise the client sends the end of its data after a response, or after a moment. The timeout of an
    incomplete request is tested in `test_scoring_access.py`.
    """
    reader, writer = await asyncio.open_connection(*address)
    received = b""
    try:
        for fragment in fragments:
            writer.write(fragment)
            await writer.drain()
        end = time.monotonic() + CLOSE_TIMEOUT_SECONDS
        while (left := end - time.monotonic()) > 0:
            try:
                part = await asyncio.wait_for(reader.read(65_536), left if wait_for_close else min(left, 0.4))
            except TimeoutError:
                wait_for_close = True
                if writer.can_write_eof():
                    writer.write_eof()
                continue
            if not part:
                return received
            received += part
        if received and writer.can_write_eof():
            writer.write_eof()
            return received + await asyncio.wait_for(reader.read(), CLOSE_TIMEOUT_SECONDS)
    except TimeoutError:
        return None
    except OSError:
        return received  # the service closed the connection during sending
    finally:
        writer.close()
    return None


def responses(received: bytes, may_be_head: bool) -> list[tuple[int, bytes]]:
    """ModelStatus and content of each response; the bytes must be nothing but whole responses."""
    found = []
    while received:
        head, gap, rest = received.partition(b"\r\n\r\n")
        [first, *lines] = head.split(b"\r\n")
        version, status, _ = first.split(b" ", 2)
        assert (version, gap) == (b"HTTP/1.1", b"\r\n\r\n"), received[:500]
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        if headers.get(b"transfer-encoding") == b"chunked":
            content, rest = dechunked(rest)
        else:
            length = int(headers.get(b"content-length", b"0"))
            if may_be_head and (not rest or rest.startswith(b"HTTP/1.1 ")):
                length = 0
            assert len(rest) >= length, received[:500]
            content, rest = rest[:length], rest[length:]
        if status != b"100":
            found.append((int(status), content))
        received = rest
    return found


def dechunked(data: bytes) -> tuple[bytes, bytes]:
    content = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        part, data = data[: int(size, 16)], data[int(size, 16) + 2 :]
        if not part:
            return content, data
        content += part


def test_connections_with_an_endless_head_or_without_a_request_are_closed(service: Stack) -> None:
    [worker] = [psutil.Process(pid) for pid in service.workers()]
    memory = worker.memory_info().rss
    for begin, more in (
        (b"GET /livez HTTP/1.1\r\nHost: fuzz\r\nX: ", b"a" * 65_536),
        (b"GET /livez HTTP/1.1\r\nHost: fuzz\r\n", b"a: b\r\n" * 10_000),
        (b"GET /livez?", b"a" * 65_536),
    ):
        assert sent_until_closed(service, begin, more) < 32 * 2**20
    assert worker.memory_info().rss - memory < 64 * 2**20
    with socket.create_connection(service.address, timeout=CLOSE_TIMEOUT_SECONDS) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: fuzz\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\r\n")
        assert connection.recv(65_536) == b""


def sent_until_closed(service: Stack, begin: bytes, more: bytes) -> int:
    """Return the number of bytes that the service accepted before it closed the connection; 256 MiB at most."""
    sent = 0
    with socket.create_connection(service.address, timeout=CLOSE_TIMEOUT_SECONDS) as connection:
        connection.sendall(begin)
        with suppress(ConnectionError):
            while sent < 2**28:
                connection.sendall(more)
                sent += len(more)
    return sent


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_upgrade_to_another_protocol_is_answered_in_http(service: Stack, method: str, upgrade: str) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": upgrade,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = httpx.request(
        method, f"{service.settings.scoring_url}/v1/score", headers=headers, content=b"abc", trust_env=False
    )
    assert (answer.status_code, answer.headers["connection"]) == ({"GET": 405, "POST": 401}[method], "close")


def test_a_response_that_cannot_be_delivered_does_not_block_others(service: Stack) -> None:
    head = f"HTTP/1.1\r\nHost: fuzz\r\nAuthorization: {service.key['Authorization']}\r\nContent-Length:"
    body = encoded(examples_without_model().online)
    slow = f"POST /v1/reload {head} 0\r\n\r\n".encode()
    quick = f"POST /v1/score {head} {len(body)}\r\n\r\n".encode() + body
    for sent in (slow + b"\x00\r\n\r\n", slow + quick + b"\x00\r\n\r\n", slow + quick):
        with socket.create_connection(service.address, timeout=CLOSE_TIMEOUT_SECONDS) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while connection.recv(65_536):
                    pass
        assert service.post("/v1/reload").status_code == 200  # takes as long, so the earlier response was lost before
        assert service.post("/v1/score", body).status_code == 200


class Endpoints:
    """The endpoints in this process, without a server and a network."""

    def __init__(self, fitted: FittedDetector, folder: Path) -> None:
        version = ModelVersion(version="1", run_id="", tags={"digest": "0" * 64})
        status = ModelStatus(
            version="1",
            digest="0" * 64,
            refused=None,
            candidate=None,
            candidate_stage=None,
            canary_share=None,
            candidate_refused=None,
            problem=None,
        )
        manager: Any = SimpleNamespace(
            served=ServedModels(LoadedModel(fitted.detector, version)),
            status=lambda: status,
            unavailable_reason=lambda: "",
            refresh=lambda retry_refused: None,
        )
        no_metrics: Any = SimpleNamespace(
            **dict.fromkeys(("count_response", "count_rows", "count_previews", "count_shed"), lambda *_: None)
        )
        states = CardStateReader(lambda: None, folder / "no-store", time.monotonic)
        admission = Admission(KeyRing("key", folder / "no-keys"), RateLimit(), 60_000, no_metrics.count_shed)
        tables, policy = ReferenceTableStore(folder), DecisionPolicy()
        source = ExampleSource(tables, states, lambda: None)
        api = ScoringApi(manager, PreviewScorer(states, tables, policy), source, admission, no_metrics)
        documentation = Documentation(manager, source, tables, policy)
        self._routes = Routes(api.endpoints() | documentation.endpoints(), no_metrics)

    async def answer(self, path: str, headers: list[tuple[bytes, bytes]], parts: list[bytes]) -> tuple[int, bytes]:
        """ModelStatus and content."""
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages[-1]["more_body"] = False
        remaining, sent = iter(messages), []

        async def receive() -> dict[str, Any]:
            return next(remaining)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._routes.handle({"path": path, "method": "POST", "headers": headers}, receive, send)  # type: ignore[arg-type]
        start, body = sent
        return start["status"], body["body"]


@pytest.mark.parametrize("requests", [40_000, pytest.param(1_500_000, marks=LONG)])
def test_every_response_to_damaged_bodies_and_headers_is_documented(
    detectors: tuple[FittedDetector, FittedDetector], tmp_path: Path, requests: int
) -> None:
    seed = SEED if requests <= 40_000 else SystemRandom().getrandbits(32)
    endpoints, random = Endpoints(detectors[0], tmp_path), Random(seed)
    fuzzer, valid = Fuzzer(random, "Bearer key"), valid_requests()
    documented = {
        path: {int(status) for status in operations["post"]["responses"]} - {500}
        for path, operations in openapi(examples_without_model())["paths"].items()
        if "post" in operations
    }

    async def asked_all() -> Counter[tuple[str, int]]:
        seen = Counter[tuple[str, int]]()
        for number in range(requests):
            chosen = valid[number % len(valid)]
            body = fuzzer.body(chosen.body)
            headers = fuzzer.headers(
                [("authorization", "Bearer key"), ("content-type", chosen.content_type), *chosen.headers]
            )
            status, content = await endpoints.answer(chosen.path, headers, fuzzer.fragments(body))
            about = f"request {number} of seed {seed}: {chosen.path} {headers} {body[:2_000]!r}"
            assert status in documented[chosen.path], f"{status} {content!r}: {about}"
            assert status == 200 or json.loads(content)["error"], about
            seen[chosen.path, status] += 1
        return seen

    seen = asyncio.run(asked_all())
    for path in {one.path for one in valid}:
        assert min(seen[path, status] for status in (200, 400, 401, 422)) > 0, f"seed {seed} tried too little"
