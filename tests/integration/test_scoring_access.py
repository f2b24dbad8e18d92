"""API keys, rate limits, body limits, overload, slow callers and TLS of the running scoring service."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import structs
from numpy.typing import NDArray

from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, child_environment
from adapters.scoring.api_keys import KeyScope, add_key, revoke_key
from adapters.scoring.client import ScoringClient, ServedVersionClient
from adapters.scoring.wire_format import BINARY, DEADLINE_HEADER, JSON, SCHEMA_HEADER, encode_rows
from cardwatch.errors import ScoringUnavailable
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import CHAMPION
from models.training import FittedDetector
from services.scoring.api.endpoints import MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS
from services.scoring.http.timeout_protocol import SWEEP_SECONDS, TIMEOUT_SECONDS

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
TRANSACTION = {
    "transaction_id": "t-1",
    "card_id": "card-of-the-access",
    "merchant_id": "merchant-1",
    "occurred_at": "2030-01-05T12:00:00Z",
    "amount_minor": 5_000,
    "currency": "EUR",
    "merchant_category": "5411",
    "channel": "chip",
    "country": "DE",
}
QUESTION = msgspec.json.encode(TRANSACTION)
AT_ONCE_SECONDS = 0.1
A_FEW_SECONDS = 5.0

Record = Callable[[str, object], None]
Rows = Callable[..., NDArray[np.float32]]
Until = Callable[..., float]
Stack = Any


@pytest.fixture(scope="module")
def served(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], tmp_path_factory: pytest.TempPathFactory
) -> Stack:
    """The shared service with a champion."""
    stack.promote(detectors[0], tmp_path_factory.mktemp("champion") / "model")
    return stack


# Keys


class Keys:
    """Keys that are created while the service runs, and all responses to them."""

    def __init__(self, stack: Stack, until: Until) -> None:
        self._stack, self._until, self.said = stack, until, ""

    def add(self, name: str, *scopes: KeyScope, rate_per_second: float | None = None) -> str:
        """Create a key, and return it when the service accepts it, which must be within seconds."""
        key, _ = add_key(
            self._stack.settings.keys_file,
            name=name,
            scopes=scopes,
            rate_per_second=rate_per_second,
            created_at=NOON,
        )
        self._until(lambda: self.call(key, "GET", "/v1/model").status_code != 401, "a new key", seconds=A_FEW_SECONDS)
        return key

    def revoke(self, name: str) -> None:
        revoke_key(self._stack.settings.keys_file, name)

    def call(self, key: str | None, method: str, path: str, content: bytes = b"") -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        url = self._stack.settings.scoring_url + path
        answer = httpx.request(method, url, headers=headers, content=content, trust_env=False)
        self.said += f"{answer.headers}{answer.text}"
        return answer


@pytest.fixture
def keys(served: Stack, until: Until) -> Iterator[Keys]:
    yield Keys(served, until)
    served.settings.keys_file.unlink(missing_ok=True)


CALLS = {
    ("POST", "/v1/score"): KeyScope.SCORE,
    ("POST", "/v1/score/batch"): KeyScope.SCORE,
    ("POST", "/invocations"): KeyScope.SCORE,
    ("POST", "/v1/explain"): KeyScope.EXPLAIN,
    ("POST", "/v1/explain/features"): KeyScope.EXPLAIN,
    ("GET", "/v1/model"): KeyScope.ADMIN,
    ("POST", "/v1/reload"): KeyScope.ADMIN,
}


def test_a_key_is_valid_for_its_scopes_only_and_an_error_names_the_missing_scope(served: Stack, keys: Keys) -> None:
    of_scope = {scope: keys.add(f"only {scope.name}", scope) for scope in KeyScope}
    for (method, path), needed in CALLS.items():
        for scope, key in of_scope.items():
            answer = keys.call(key, method, path)
            if scope is needed:
                assert answer.status_code in (200, 422)  # 422: there is no body
            else:
                assert answer.status_code == 403
                assert f"does not have the scope '{needed.value}'" in answer.json()["error"]
        own = keys.call(str(served.settings.api_key), method, path)
        assert own.status_code in (200, 422)
    for key in of_scope.values():
        assert key.partition(".")[2] not in keys.said


def test_without_a_valid_key_every_call_is_refused_with_the_required_scheme(served: Stack, keys: Keys) -> None:
    valid = keys.add("caller", *KeyScope)
    key_id, _, secret = valid.partition(".")
    wrong = [None, "guess", key_id, secret, valid[:-1], valid + "x", f"{key_id}.{secret[::-1]}", f"own.{secret}"]
    for method, path in CALLS:
        for key in wrong:
            answer = keys.call(key, method, path)
            assert (answer.status_code, answer.headers.get("www-authenticate")) == (401, "Bearer")
    for path in ("/livez", "/readyz", "/ping", "/docs.json", "/"):
        assert keys.call(None, "GET", path).status_code == 200


def test_a_key_works_and_stops_working_within_seconds_without_a_restart(
    served: Stack, keys: Keys, until: Until, record_property: Record
) -> None:
    workers = served.workers()
    begin = time.monotonic()
    key = keys.add("caller", KeyScope.SCORE)
    record_property("seconds_until_valid", round(time.monotonic() - begin, 2))
    assert keys.call(key, "POST", "/v1/score", QUESTION).status_code == 200

    keys.revoke("caller")
    gone = until(
        lambda: keys.call(key, "POST", "/v1/score", QUESTION).status_code == 401, "revoked", seconds=A_FEW_SECONDS
    )
    record_property("seconds_until_revoked", round(gone, 2))
    assert served.workers() == workers


def test_a_key_beyond_its_rate_gets_retry_after_and_others_are_not_slowed(served: Stack, keys: Keys) -> None:
    rate, batch = 10.0, 64
    key, other = keys.add("busy", KeyScope.SCORE, rate_per_second=rate), keys.add("other", KeyScope.SCORE)
    transactions = [{**TRANSACTION, "transaction_id": f"t-{number}"} for number in range(batch)]

    begin = time.monotonic()
    assert keys.call(key, "POST", "/v1/score/batch", msgspec.json.encode(transactions)).status_code == 200
    answer = keys.call(key, "POST", "/v1/score", QUESTION)
    elapsed = time.monotonic() - begin

    # A full bucket holds 10, so after 64 it lacks 54, and the next one waits for 55, less the tokens added since.
    debt = batch - rate + 1.0
    assert answer.status_code == 429
    assert ceil(debt / rate - elapsed) <= int(answer.headers["retry-after"]) <= ceil(debt / rate)
    assert "'busy' has used up its rate of 10 transactions a second" in answer.json()["error"]
    for free in (other, str(served.settings.api_key)):
        assert keys.call(free, "POST", "/v1/score", QUESTION).status_code == 200


def test_no_key_is_in_a_response_or_in_the_log(served: Stack, keys: Keys) -> None:
    valid = keys.add("caller", KeyScope.SCORE, rate_per_second=1.0)
    never_valid = "0badc0de.not-a-key-of-any-caller-at-all"
    keys.revoke("caller")
    for key in (valid, never_valid, str(served.settings.api_key)):
        for method, path in CALLS:
            keys.call(key, method, path, f'{{"card_id": "{key}"'.encode())
            keys.call(key, "PUT", path)
        keys.call(key, "GET", "/metrics")
    log = served.log.read_text()
    for key in (valid, never_valid, str(served.settings.api_key)):
        secret = key.partition(".")[2] or key
        assert secret not in keys.said
        assert secret not in log


# Bodies


def test_an_invalid_body_gets_a_response_and_the_worker_survives(served: Stack) -> None:
    workers = served.workers()
    nested = b"[" * 100_000 + b"]" * 100_000
    many = msgspec.json.encode([TRANSACTION] * (MAX_TRANSACTIONS + 1))
    schema = {SCHEMA_HEADER: SCHEMA_HASH}
    for path, content, headers, status in (
        ("/v1/score", b" " * (MAX_TRANSACTION_BYTES + 1), {}, 413),
        ("/v1/score", nested[: MAX_TRANSACTION_BYTES // 2], {}, 422),
        ("/v1/score/batch", nested, {}, 422),
        ("/v1/score/batch", many, {}, 422),
        ("/v1/explain", nested[: MAX_TRANSACTION_BYTES // 2], {}, 422),
        ("/v1/explain/features", nested[:60_000], {}, 422),
        ("/invocations", nested, {"Content-Type": JSON, **schema}, 422),
        ("/invocations", b"<row/>", {"Content-Type": "application/xml", **schema}, 415),
        ("/v1/score", QUESTION, {DEADLINE_HEADER: "soon"}, 400),
        ("/v1/score", QUESTION, {DEADLINE_HEADER: "0"}, 400),
        ("/v1/score", QUESTION, {DEADLINE_HEADER: "60001"}, 400),
        ("/v1/score", QUESTION, {DEADLINE_HEADER: "60000"}, 200),
    ):
        answer = served.post(path, content, **headers)
        assert (path, answer.status_code) == (path, status)
        assert status == 200 or answer.json()["error"]
    assert served.workers() == workers


def in_chunks(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def test_a_body_without_a_content_length_is_read_up_to_the_limit_of_the_call(served: Stack) -> None:
    def post(content: bytes) -> httpx.Response:
        url = served.settings.scoring_url + "/v1/score"
        return httpx.post(url, content=in_chunks(content, 1_000), headers=served.key, trust_env=False)

    assert post(QUESTION + b" " * (MAX_TRANSACTION_BYTES - len(QUESTION))).status_code == 200
    answer = post(QUESTION + b" " * (MAX_TRANSACTION_BYTES - len(QUESTION) + 1))
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


# Raw connections


def raw_request(stack: Stack, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = {"Host": "x", "Content-Length": str(len(body)), **stack.key, **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def test_a_body_with_too_large_a_content_length_is_refused_before_it_is_sent(served: Stack) -> None:
    head = raw_request(served, "/v1/score", b"", {"Content-Length": str(10**12)})
    with socket.create_connection(served.address, timeout=A_FEW_SECONDS) as connection:
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))  # to the end: the service closes
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.lower().count(b"connection: close") == 1


class RoundTrip(NamedTuple):
    """Status, `Retry-After` and latency of a response."""

    status: int
    retry_after: bytes | None
    seconds: float


async def ask_in_a_loop(address: tuple[str, int], request: bytes, until: float) -> list[RoundTrip]:
    reader, writer = await asyncio.open_connection(*address)
    trips = []
    try:
        while (begin := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            await reader.readexactly(int(fields[b"content-length"]))
            seconds = time.perf_counter() - begin
            trips.append(RoundTrip(int(head.split(b" ", 2)[1]), fields.get(b"retry-after"), seconds))
    finally:
        writer.close()
        await writer.wait_closed()
    return trips


async def crowd(address: tuple[str, int], request: bytes, callers: int, seconds: float) -> list[RoundTrip]:
    end = time.perf_counter() + seconds
    async with asyncio.timeout(seconds + 30.0):
        of_each = await asyncio.gather(*(ask_in_a_loop(address, request, end) for _ in range(callers)))
    assert all(of_each)
    return [trip for trips in of_each for trip in trips]


def test_requests_that_cannot_be_answered_in_time_are_refused_and_none_hangs(
    served: Stack, rows: Rows, record_property: Record
) -> None:
    def request(deadline_ms: int) -> bytes:
        headers = {"Content-Type": BINARY, SCHEMA_HEADER: SCHEMA_HASH, DEADLINE_HEADER: str(deadline_ms)}
        return raw_request(served, "/invocations", encode_rows(rows(16)), headers)

    shed = served.metric("cardwatch_scoring_shed_total", why="deadline")
    trips = asyncio.run(crowd(served.address, request(3), callers=200, seconds=2.0))
    statuses = Counter(trip.status for trip in trips)
    assert set(statuses) == {200, 503}
    assert {trip.retry_after for trip in trips} == {b"1", None}
    assert all((trip.status == 503) == (trip.retry_after == b"1") for trip in trips)
    assert served.metric("cardwatch_scoring_shed_total", why="deadline") - shed == statuses[503]
    assert max(trip.seconds for trip in trips) < A_FEW_SECONDS

    calm = asyncio.run(crowd(served.address, request(10_000), callers=4, seconds=0.2))
    assert {trip.status for trip in calm} == {200}
    record_property("answered", statuses[200])
    record_property("refused", statuses[503])
    record_property("longest_ms", round(1e3 * max(trip.seconds for trip in trips), 1))


async def hang_up_in_a_loop(address: tuple[str, int], request: bytes, until: float, random: Random) -> int:
    """Send a request and close the connection without reading the response, immediately or a little later."""
    times = 0
    while time.perf_counter() < until:
        _, writer = await asyncio.open_connection(*address)
        writer.write(request)
        await asyncio.sleep(random.choice([0.0, 0.001, 0.004]))
        writer.transport.abort()
        times += 1
    return times


async def disconnecting_callers(address: tuple[str, int], request: bytes, callers: int, seconds: float) -> Any:
    end = time.perf_counter() + seconds
    hanging_up = [hang_up_in_a_loop(address, request, end, Random(caller)) for caller in range(callers)]
    async with asyncio.timeout(seconds + 30.0):
        *times, answered = await asyncio.gather(*hanging_up, crowd(address, request, callers=8, seconds=seconds))
    return sum(times), answered


def test_callers_that_disconnect_early_do_not_affect_others(served: Stack, record_property: Record) -> None:
    request = raw_request(served, "/v1/score", QUESTION, {DEADLINE_HEADER: "10000"})
    disconnected, answered = asyncio.run(disconnecting_callers(served.address, request, callers=64, seconds=2.0))
    assert {trip.status for trip in answered} == {200}
    assert max(trip.seconds for trip in answered) < A_FEW_SECONDS
    assert served.post("/v1/score", QUESTION).status_code == 200
    assert "Traceback" not in served.log.read_text()
    record_property("hung_up", disconnected)
    record_property("answered", len(answered))
    record_property("longest_ms", round(1e3 * max(trip.seconds for trip in answered), 1))


def test_connections_with_incomplete_requests_are_closed_and_do_not_delay_others(
    served: Stack, record_property: Record
) -> None:
    whole = raw_request(served, "/v1/score", QUESTION, {})
    half_header, half_body, nothing = whole[: whole.index(b"\r\n") + 20], whole[:-10], b""
    with ExitStack() as held, served.connected() as http:

        def begin(part: bytes) -> socket.socket:
            connection = held.enter_context(socket.create_connection(served.address, timeout=30.0))
            connection.sendall(part)
            return connection

        started = time.monotonic()
        waiting = [begin(part) for part in (half_header, half_body, nothing)]
        crowd = [begin(part) for part in (half_header, half_body) for _ in range(25)]
        seconds = []
        for _ in range(50):
            asked = time.perf_counter()
            assert http.post("/v1/score", content=QUESTION).status_code == 200
            seconds.append(time.perf_counter() - asked)
        assert statistics.quantiles(seconds, n=20)[-1] < AT_ONCE_SECONDS
        for connection in crowd:
            connection.close()

        durations = []
        for connection in waiting:
            said = b"".join(iter(lambda connection=connection: connection.recv(65_536), b""))
            assert said == b""
            durations.append(time.monotonic() - started)
        assert min(durations) > TIMEOUT_SECONDS
        assert max(durations) < TIMEOUT_SECONDS + 2 * SWEEP_SECONDS + 1.0
    assert "Traceback" not in served.log.read_text()
    record_property("seconds_until_closed", round(max(durations), 1))
    record_property("longest_ms_of_others", round(1e3 * max(seconds), 1))


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for the loopback address, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cardwatch test")])
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            critical=True,
        )
        .add_extension(identity, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def test_over_tls_only_a_client_that_trusts_the_certificate_is_answered(
    served: Stack,
    start_scoring: Callable[..., Stack],
    certificate: tuple[Path, Path],
    detectors: tuple[FittedDetector, FittedDetector],
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = served.get("/v1/model").json()["version"]
    served.registry.set_alias(CHAMPION, version)
    stack = start_scoring(tls_certificate=certificate[0], tls_key=certificate[1], tls_ca=certificate[0])
    scores = stack.score(rows(64))
    assert scores.margins.tobytes() == detectors[0].detector.margins(rows(64)).tobytes()
    with closing(ServedVersionClient(stack.settings)) as model:
        assert model.version() == version

    distrusting = structs.replace(stack.settings, tls_ca=None)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with closing(ServedVersionClient(distrusting)) as model:
        assert model.version() == version
    monkeypatch.delenv("SSL_CERT_FILE")
    refused = pytest.raises(ScoringUnavailable, match="self-signed certificate")
    with closing(ScoringClient(distrusting, timeout_seconds=5.0)) as scorer, refused:
        scorer.score(rows(1), np.full(1, np.inf), schema_hash=SCHEMA_HASH)
    plain = stack.settings.scoring_url.replace("https://", "http://")
    with pytest.raises(httpx.TransportError):
        httpx.get(plain + "/livez", trust_env=False)


@pytest.mark.parametrize(("scheme", "with_certificate"), [("https", False), ("http", True)])
def test_an_address_and_a_certificate_that_do_not_go_together_are_refused_in_one_line(
    tmp_path: Path, certificate: tuple[Path, Path], scheme: str, with_certificate: bool
) -> None:
    settings = Settings(
        home=tmp_path,
        mlflow_url="http://127.0.0.1:1",
        scoring_url=f"{scheme}://{LOOPBACK}:{free_ports(1)[0]}",
        api_key="key",  # type: ignore[arg-type]
        tls_certificate=certificate[0] if with_certificate else None,
        tls_key=certificate[1] if with_certificate else None,
    )
    command = [sys.executable, "-m", "services.scoring"]
    environment = child_environment(settings)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert f"CARDWATCH_SCORING_URL='{settings.scoring_url}' and CARDWATCH_TLS_CERTIFICATE do not go together" in line
