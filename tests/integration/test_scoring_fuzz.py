"""Whatever bytes come, the scoring service answers or hangs up, never with 500, and goes on as before.

Requests that are valid are damaged: in their bodies, their heads, their framing, and as a whole. They go over sockets
to the running service, and, far faster, to its endpoints in this process. Each failure shows what was sent.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random, SystemRandom
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil
import pytest

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.scoring.api_keys import KeyRing, RateLimit
from adapters.scoring.wire_format import (
    ATTRIBUTES_HEADER,
    BINARY,
    CSV,
    DEADLINE_HEADER,
    JSON,
    PER_ROW,
    REASONS_HEADER,
    ROW_TYPE,
    SCHEMA_HEADER,
)
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import ModelVersion
from models.training import FittedDetector
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.endpoints import ScoringApi
from services.scoring.api.preview import PreviewScorer
from services.scoring.http.admission import Admission
from services.scoring.http.routes import Routes
from services.scoring.model.manager import LoadedModel, ModelStatus, ServedModels
from services.scoring.openapi import examples
from services.scoring.openapi.documentation import documentation_endpoints, openapi

Stack = Any

SEED = 20_261_124
HANGS_UP_SECONDS = 15.0
"""Longer than the service waits for the rest of a request."""
AT_ONCE = 48
STATUSES = {200, 400, 401, 403, 404, 405, 409, 413, 415, 422, 426}
FAREWELL = b"GET /livez HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n"


class Valid(NamedTuple):
    """A request that is answered with 200."""

    path: str
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def valid_requests() -> list[Valid]:
    row: Any = np.array([np.nan if value is None else value for value in examples.row()], ROW_TYPE)
    schema = (SCHEMA_HEADER, SCHEMA_HASH)
    both = (ATTRIBUTES_HEADER, f"feature-schema={SCHEMA_HASH}; reasons-above=0.1")
    rows = {"feature_schema": SCHEMA_HASH, "instances": [examples.row()] * 2, "reasons_above": [0.0, 1.0]}
    recorded = {"feature_schema": SCHEMA_HASH, "features": examples.row(), "margin": 0.5}
    return [
        Valid("/v1/score", JSON, encoded(examples.ONLINE)),
        Valid("/v1/score/batch", JSON, encoded([examples.ONLINE, examples.IN_A_SHOP, examples.ONLINE])),
        Valid("/v1/explain", JSON, encoded(examples.IN_A_SHOP)),
        Valid("/v1/explain/features", JSON, encoded(recorded)),
        Valid("/invocations", JSON, encoded(rows)),
        Valid("/invocations", CSV, examples.csv_rows().encode() * 3, (schema,)),
        Valid("/invocations", BINARY, row.tobytes() * 2, (schema, (REASONS_HEADER, "0.5"))),
        Valid("/invocations", BINARY, row.tobytes() + struct.pack("<d", 0.0), (schema, (REASONS_HEADER, PER_ROW))),
        Valid("/invocations", BINARY, row.tobytes(), (both,)),
    ]


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


WORDS: Sequence[bytes] = [
    *rb"""
    null true false 0 -0 -0.0 1.0 -1 1e308 1e400 -1e400 1e-400 3.5e38 12345678901234567890 1000000000001
    NaN nan Infinity inf 1_0 0x10 [] {} [[]] [[0]] , : chip "chip" "declined" "instances" "features" {"instances":[]}
    "" "\u0000" "\ud800" "\ud83d\ude00" "EUR\n" "5411" "4111111111111111"
    "1970-01-01T00:00:00Z" "1970-01-01T00:00:00+23:59" "0001-01-01T00:00:00Z" "9998-12-31T23:59:59.9999999Z"
    "9999-12-31T23:59:59.999999-23:59" "2026-02-29T00:00:00Z" "2026-11-24T12:00:60Z" "2026-11-24"
    """.split(),
    *(
        digits.encode()
        for digits in (
            '"\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661"',
            '"\xb2222222222222"',
        )
    ),
    *(b"\x00", b"\r\n", b"\xef\xbb\xbf", b'"\xff"', b'"\xed\xa0\x80"', b'"' + b"\xc3\xa9" * 65 + b'"'),
    *(b"9" * 400, b"[" * 5_000, b'{"a":' * 5_000, b"a" * 20_000, SCHEMA_HASH.encode()),
]
TOKEN = re.compile(rb'"[^"]*"|[-+.\w]+')
METHODS = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "QUERY", "PRI", "post", "G\x00T", "")
PATHS = (
    *b"""
    / // * /docs.json /metrics /livez /readyz /ping /v1/model /v1/reload /healthz /schema.json /v1/score/ /v1//score
    /v1/score/batch?x=1#y /v1/%73core /v1/score%00 /%ff%fe http://other/v1/score http://[::1 https:///
    /static_content/ /static_content/../../etc/passwd /static_content/%2e%2e/%2e%2e/etc/passwd /static_content/%00
    """.decode().split(),
    *("", "/ ", "/\x7f", "/\xe9\xff", "/v1/score HTTP/1.1", "/static_content/" + "a" * 5_000),
)
UPGRADE = "Connection: Upgrade\r\nUpgrade: "
HEADERS = (
    *(line.strip() for line in """Host: other
    Authorization: Bearer
    Authorization: Basic eDp5
    Accept: text/csv
    Accept: application/msgpack
    Content-Type: text/csv
    Content-Type: application/json
    Content-Type: application/octet-stream;;;
    Content-Encoding: gzip
    Content-Length: 5
    Transfer-Encoding: chunked
    Transfer-Encoding: gzip, chunked
    Connection: close
    Connection: keep-alive, x
    Expect: 100-continue
    Expect: 200-ok
    Trailer: X
    : no name
    no colon""".splitlines()),
    *("Authorization: \xff\xfe", "Accept: */*;q=\xff, text/html", "Content-Type: \xe9", "Cookie: a=b; \xff", "\xe9: 1"),
    *("Host: a\r\nHost: b", "Folded: a\r\n b", "A\tB: c", "X: \x00", "X:" + " " * 3_000, "X: " + "a" * 30_000),
    *(f"{UPGRADE}websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eDp5", f"{UPGRADE}h2c"),
    *(f"{DEADLINE_HEADER}: {said}" for said in ("1", "60000", "60001", "0", "-1", "1.5", "\xb2", "9" * 5_000, "")),
    *(f"{REASONS_HEADER}: {said}" for said in ("0.5", "nan", "-inf", "1e999", PER_ROW, "\xff", "1_0", "")),
    *(f"{SCHEMA_HEADER}: {said}" for said in ("", "\xff", SCHEMA_HASH, "0" * 5_000)),
    *(f"{ATTRIBUTES_HEADER}: {said}" for said in ("reasons-above=x", ";;==;", "feature-schema=\xff", "=;" * 3_000)),
)  # fmt: skip


class Damage:
    """Damages requests."""

    def __init__(self, random: Random, authorization: str) -> None:
        self._random, self._authorization, self._valid = random, authorization, valid_requests()

    def connection(self) -> bytes:
        """All that is sent on one connection: one request or several, the last asks to hang up."""
        if self._maybe(0.02):
            return self._random.choice(
                [b"", b"\r\n" * 9, b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
            )
        sent = b"".join(self.request() for _ in range(self._random.choice((1, 1, 1, 2, 6))))
        if self._maybe(0.15):
            sent = self.bytes(sent)
        return sent + FAREWELL

    def request(self) -> bytes:
        chosen = self._random.choice(self._valid)
        body = self.body(chosen.body) if self._maybe(0.6) else chosen.body
        method = self._random.choice(METHODS) if self._maybe(0.1) else "POST"
        path = self._random.choice(PATHS) if self._maybe(0.15) else chosen.path
        version = self._random.choice(("1.0", "0.9", "2.0", "1.11", "")) if self._maybe(0.05) else "1.1"
        framing, framed = self._framed(body)
        lines = [
            "Host: fuzz",
            f"Authorization: {self._authorization}",
            f"Content-Type: {chosen.content_type}",
            *(f"{name}: {value}" for name, value in chosen.headers),
            *framing,
        ]
        self._change(lines)
        end = "\n" if self._maybe(0.03) else "\r\n"
        head = end.join([f"{method} {path} HTTP/{version}", *lines, "", ""])
        return head.encode("latin-1") + framed

    def body(self, body: bytes) -> bytes:
        """Words replaced, or bytes, or both."""
        for _ in range(self._random.choice((1, 1, 2, 5))):
            if self._maybe(0.7):
                places = [found.span() for found in TOKEN.finditer(body)] or [(0, 0)]
                start, end = self._random.choice(places)
                body = body[:start] + self._random.choice(WORDS) + body[end:]
            else:
                body = self.bytes(body)
        return body

    def bytes(self, data: bytes) -> bytes:
        """Bits flipped, a part cut out, doubled, or replaced by noise."""
        start = self._random.randrange(len(data) + 1)
        end = min(len(data), start + self._random.choice((1, 1, 4, 30, 1_000)))
        part = data[start:end]
        kind = self._random.randrange(5)
        if kind == 0 and part:
            return data[:start] + bytes([part[0] ^ 1 << self._random.randrange(8)]) + data[start + 1 :]
        new = (part, b"", part * self._random.choice((2, 2, 50)), self._random.randbytes(len(part) or 3), b"")[kind]
        return data[:start] + new + (b"" if kind == 4 else data[end:])

    def headers(self, headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
        """Headers as a server hands them on."""
        lines = [f"{name}: {value}" for name, value in headers]
        self._change(lines)
        pairs = (line.encode("latin-1").partition(b":") for whole in lines for line in whole.split("\r\n"))
        return [(name.lower(), value.strip()) for name, _, value in pairs]

    def _change(self, lines: list[str]) -> None:
        if not self._maybe(0.4):
            return
        for _ in range(self._random.choice((1, 1, 2, 4))):
            place = self._random.randrange(len(lines))
            kind = self._random.randrange(4)
            if kind == 0 and len(lines) > 1:
                lines.pop(place)
            elif kind == 1:
                lines.append(lines[place])
            else:
                lines.insert(place, self._random.choice(HEADERS))

    def _framed(self, body: bytes) -> tuple[list[str], bytes]:
        """The headers that say where the body ends, and the body in that form; sometimes they do not agree."""
        kind = self._random.random()
        if kind < 0.65:
            return [f"Content-Length: {len(body)}"], body
        if kind < 0.75:
            wrong = (
                len(body) + 1,
                max(0, len(body) - 7),
                len(body) + 99_999,
                -1,
                f"+{len(body)}",
                "0x10",
                "1, 1",
                10**30,
                "",
            )
            return [f"Content-Length: {self._random.choice(wrong)}"], body
        chunks = self._chunked(body)
        if kind < 0.9:
            return ["Transfer-Encoding: chunked"], chunks
        if kind < 0.95:
            return ["Transfer-Encoding: chunked"], self.bytes(chunks)
        return [f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"], chunks

    def _chunked(self, body: bytes) -> bytes:
        size = self._random.choice((1, 7, 1_000, 100_000)) if len(body) < 5_000 else 100_000
        extension = self._random.choice((b"", b";a=b", b";" + b"x" * 3_000))
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
        return chunks + b"0\r\n" + self._random.choice((b"", b"X: y\r\n")) + b"\r\n"

    def fragments(self, data: bytes) -> list[bytes]:
        """As a network might cut it."""
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.choice((0, 0, 1, 5))))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _maybe(self, probability: float) -> bool:
        return self._random.random() < probability


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
    """What valid requests get: the same bytes every time."""
    got = [
        service.post(one.path, one.body, **{"Content-Type": one.content_type, **dict(one.headers)})
        for one in valid_requests()
    ]
    assert [answer.status_code for answer in got] == [200] * len(got)
    return [answer.content for answer in got]


async def all_sent(service: Stack, seed: int, connections: int) -> Counter[int]:
    """How often there was which status."""
    random = Random(seed)
    damage, numbers, seen = Damage(random, service.key["Authorization"]), iter(range(connections)), Counter[int]()

    async def one_after_the_other() -> None:
        for number in numbers:
            fragments = damage.fragments(damage.connection())
            received = await conversation(service.address, fragments, patient=random.random() < 0.05)
            sent = b"".join(fragments)
            about = f"connection {number} of seed {seed}: {sent[:2_000]!r}"
            assert received is not None, f"neither answered nor closed: {about}"
            for status, content in responses(received, b"HEAD" in sent):
                seen[status] += 1
                is_busy = status == 503 and content.startswith(b'{"error":"busy: ')
                assert status in STATUSES or is_busy, f"{status} {content!r}: {about}"

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_the_other())
    return seen


async def conversation(address: tuple[str, int], fragments: list[bytes], *, patient: bool) -> bytes | None:
    """All that comes back until the service hangs up; None if it does not.

    Who is patient waits for as long as the service does, which is long for a connection that is idle once all is
    answered: after a while it is ended. The others say that nothing more will come, once they got an answer, or after a
    moment. That half a request is not waited for has a test of its own, in `test_scoring_access.py`.
    """
    reader, writer = await asyncio.open_connection(*address)
    received = b""
    try:
        for fragment in fragments:
            writer.write(fragment)
            await writer.drain()
        end = time.monotonic() + HANGS_UP_SECONDS
        while (left := end - time.monotonic()) > 0:
            try:
                part = await asyncio.wait_for(reader.read(65_536), left if patient else min(left, 0.4))
            except TimeoutError:
                patient = True
                if writer.can_write_eof():
                    writer.write_eof()
                continue
            if not part:
                return received
            received += part
        if received and writer.can_write_eof():
            writer.write_eof()
            return received + await asyncio.wait_for(reader.read(), HANGS_UP_SECONDS)
    except TimeoutError:
        return None
    except OSError:
        return received  # it has hung up while we were sending
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


def test_a_head_without_end_and_a_request_that_never_begins_are_hung_up_on(service: Stack) -> None:
    [worker] = [psutil.Process(pid) for pid in service.workers()]
    memory = worker.memory_info().rss
    for begin, more in (
        (b"GET /livez HTTP/1.1\r\nHost: fuzz\r\nX: ", b"a" * 65_536),
        (b"GET /livez HTTP/1.1\r\nHost: fuzz\r\n", b"a: b\r\n" * 10_000),
        (b"GET /livez?", b"a" * 65_536),
    ):
        assert sent_until_hung_up(service, begin, more) < 32 * 2**20
    assert worker.memory_info().rss - memory < 64 * 2**20
    with socket.create_connection(service.address, timeout=HANGS_UP_SECONDS) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: fuzz\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"\r\n")
        assert connection.recv(65_536) == b""


def sent_until_hung_up(service: Stack, begin: bytes, more: bytes) -> int:
    """How many bytes the service took before it hung up; 256 MiB at most."""
    sent = 0
    with socket.create_connection(service.address, timeout=HANGS_UP_SECONDS) as connection:
        connection.sendall(begin)
        with suppress(ConnectionError):
            while sent < 2**28:
                connection.sendall(more)
                sent += len(more)
    return sent


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whoever_wants_another_protocol_gets_an_answer_of_this_one(service: Stack, method: str, upgrade: str) -> None:
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


def test_an_answer_that_nobody_can_get_any_more_stands_in_nobodys_way(service: Stack) -> None:
    head = f"HTTP/1.1\r\nHost: fuzz\r\nAuthorization: {service.key['Authorization']}\r\nContent-Length:"
    body = encoded(examples.ONLINE)
    slow = f"POST /v1/reload {head} 0\r\n\r\n".encode()
    quick = f"POST /v1/score {head} {len(body)}\r\n\r\n".encode() + body
    for sent in (slow + b"\x00\r\n\r\n", slow + quick + b"\x00\r\n\r\n", slow + quick):
        with socket.create_connection(service.address, timeout=HANGS_UP_SECONDS) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while connection.recv(65_536):
                    pass
        assert service.post("/v1/reload").status_code == 200  # takes as long, so the answer was lost meanwhile
        assert service.post("/v1/score", body).status_code == 200


class Endpoints:
    """The endpoints in this process, without a server and without a network."""

    def __init__(self, fitted: FittedDetector, folder: Path) -> None:
        version = ModelVersion(version="1", run_id="", tags={"digest": "0" * 64})
        status = ModelStatus(
            version="1", digest="0" * 64, refused=None, challenger=None, challenger_refused=None, problem=None
        )
        manager: Any = SimpleNamespace(
            served=ServedModels(LoadedModel(fitted.detector, version)),
            status=lambda: status,
            unavailable_reason=lambda: "",
            refresh=lambda retry_refused: None,
        )
        nobody: Any = SimpleNamespace(
            **dict.fromkeys(("count_response", "count_rows", "count_previews", "count_shed"), lambda *_: None)
        )
        states = CardStateReader(lambda: None, folder / "no-store", time.monotonic)
        admission = Admission(KeyRing("key", folder / "no-keys"), RateLimit(), 60_000, nobody.count_shed)
        api = ScoringApi(
            manager, PreviewScorer(states, ReferenceTableStore(folder), DecisionPolicy()), admission, nobody
        )
        self._routes = Routes(api.endpoints() | documentation_endpoints(), nobody)

    async def answer(self, path: str, headers: list[tuple[bytes, bytes]], parts: list[bytes]) -> tuple[int, bytes]:
        """ModelStatus and content."""
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages[-1]["more_body"] = False
        waiting, said = iter(messages), []

        async def receive() -> dict[str, Any]:
            return next(waiting)

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        await self._routes.handle({"path": path, "method": "POST", "headers": headers}, receive, send)  # type: ignore[arg-type]
        start, body = said
        return start["status"], body["body"]


@pytest.mark.parametrize("requests", [40_000, pytest.param(1_500_000, marks=LONG)])
def test_no_body_and_no_headers_get_an_answer_that_is_not_documented(
    detectors: tuple[FittedDetector, FittedDetector], tmp_path: Path, requests: int
) -> None:
    seed = SEED if requests <= 40_000 else SystemRandom().getrandbits(32)
    endpoints, random = Endpoints(detectors[0], tmp_path), Random(seed)
    damage, valid = Damage(random, "Bearer key"), valid_requests()
    documented = {
        path: {int(status) for status in operations["post"]["responses"]} - {500}
        for path, operations in openapi()["paths"].items()
        if "post" in operations
    }

    async def asked_all() -> Counter[tuple[str, int]]:
        seen = Counter[tuple[str, int]]()
        for number in range(requests):
            chosen = valid[number % len(valid)]
            body = damage.body(chosen.body)
            headers = damage.headers(
                [("authorization", "Bearer key"), ("content-type", chosen.content_type), *chosen.headers]
            )
            status, content = await endpoints.answer(chosen.path, headers, damage.fragments(body))
            about = f"request {number} of seed {seed}: {chosen.path} {headers} {body[:2_000]!r}"
            assert status in documented[chosen.path], f"{status} {content!r}: {about}"
            assert status == 200 or json.loads(content)["error"], about
            seen[chosen.path, status] += 1
        return seen

    seen = asyncio.run(asked_all())
    for path in {one.path for one in valid}:
        assert min(seen[path, status] for status in (200, 400, 401, 422)) > 0, f"seed {seed} tried too little"
