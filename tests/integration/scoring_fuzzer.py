"""Valid requests to the scoring service, and random damage to their bodies, heads and framing."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np

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
from cardwatch.features.definitions import SCHEMA_HASH
from services.scoring.openapi.examples import examples_without_model

LAST_REQUEST = b"GET /livez HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n"


class Valid(NamedTuple):
    """A request whose response has status 200."""

    path: str
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def valid_requests() -> list[Valid]:
    examples = examples_without_model()
    row: Any = np.array([np.nan if value is None else value for value in examples.row], ROW_TYPE)
    schema = (SCHEMA_HEADER, SCHEMA_HASH)
    both = (ATTRIBUTES_HEADER, f"feature-schema={SCHEMA_HASH}; reasons-above=0.1")
    rows = {"feature_schema": SCHEMA_HASH, "instances": [examples.row] * 2, "reasons_above": [0.0, 1.0]}
    recorded = {"feature_schema": SCHEMA_HASH, "features": examples.row, "margin": 0.5}
    return [
        Valid("/v1/score", JSON, encoded(examples.online)),
        Valid("/v1/score/batch", JSON, encoded([examples.online, examples.in_a_shop, examples.online])),
        Valid("/v1/explain", JSON, encoded(examples.in_a_shop)),
        Valid("/v1/explain/features", JSON, encoded(recorded)),
        Valid("/invocations", JSON, encoded(rows)),
        Valid("/invocations", CSV, examples.csv_row.encode() * 3, (schema,)),
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


class Fuzzer:
    """Creates randomly damaged requests."""

    def __init__(self, random: Random, authorization: str) -> None:
        self._random, self._authorization, self._valid = random, authorization, valid_requests()

    def connection(self) -> bytes:
        """Return the bytes of one connection: one request or several, the last of which closes it."""
        if self._maybe(0.02):
            return self._random.choice(
                [b"", b"\r\n" * 9, b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
            )
        sent = b"".join(self.request() for _ in range(self._random.choice((1, 1, 1, 2, 6))))
        if self._maybe(0.15):
            sent = self.bytes(sent)
        return sent + LAST_REQUEST

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
        """Return a body with tokens or bytes replaced."""
        for _ in range(self._random.choice((1, 1, 2, 5))):
            if self._maybe(0.7):
                places = [found.span() for found in TOKEN.finditer(body)] or [(0, 0)]
                start, end = self._random.choice(places)
                body = body[:start] + self._random.choice(WORDS) + body[end:]
            else:
                body = self.bytes(body)
        return body

    def bytes(self, data: bytes) -> bytes:
        """Return data with a bit flipped, or a part removed, repeated or replaced by noise."""
        start = self._random.randrange(len(data) + 1)
        end = min(len(data), start + self._random.choice((1, 1, 4, 30, 1_000)))
        part = data[start:end]
        kind = self._random.randrange(5)
        if kind == 0 and part:
            return data[:start] + bytes([part[0] ^ 1 << self._random.randrange(8)]) + data[start + 1 :]
        new = (part, b"", part * self._random.choice((2, 2, 50)), self._random.randbytes(len(part) or 3), b"")[kind]
        return data[:start] + new + (b"" if kind == 4 else data[end:])

    def headers(self, headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
        """Return damaged headers in the form in which a server passes them on."""
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
        """Return framing headers and the framed body, which sometimes contradict each other."""
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
        """Return data in random parts, as a network may deliver it."""
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.choice((0, 0, 1, 5))))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _maybe(self, probability: float) -> bool:
        return self._random.random() < probability
