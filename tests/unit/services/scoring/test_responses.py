"""Every endpoint returns the documented statuses, and errors become responses."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from adapters.scoring.api_keys import KeyScope
from adapters.scoring.wire_format import (
    DEADLINE_HEADER,
    JSON,
)
from cardwatch.errors import CorruptTable
from cardwatch.features.definitions import FEATURES
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.endpoints import (
    MAX_FEATURES_BYTES,
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTIONS,
)
from services.scoring.api.invocations import MAX_ROWS
from services.scoring.http.routes import Request, Response, Routes
from services.scoring.metrics import ScoringMetrics
from services.scoring.model.manager import ModelManager
from services.scoring.openapi.documentation import openapi
from services.scoring.openapi.examples import examples_without_model
from tests.unit.services.scoring.worker import (
    FIRST,
    OWN,
    BodyParts,
    Service,
    json_rows,
    recorded_row,
    respond,
)


class Case(NamedTuple):
    """A request and the status of its response. `twice`: send it twice, and check the second response."""

    status: int
    method: str
    path: str
    body: bytes = b""
    key: str = "own"
    headers: dict[str, str] = {}  # noqa: RUF012 (of a tuple, never changed)
    expired: bool = False
    twice: bool = False
    has_champion: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


WITH_BODY: dict[str, tuple[bytes, int, dict[str, str]]] = {
    "/v1/score": (FIRST, MAX_TRANSACTION_BYTES, {}),
    "/v1/score/batch": (b"[" + FIRST + b"]", MAX_TRANSACTIONS * 1_024, {}),
    "/v1/explain": (FIRST, MAX_TRANSACTION_BYTES, {}),
    "/v1/explain/features": (recorded_row(), MAX_FEATURES_BYTES, {}),
    "/invocations": (json_rows(), MAX_ROWS * 25 * len(FEATURES), {"Content-Type": JSON}),
}
"""A valid body, the maximum size of a body and the headers of a request, by path."""
FOR_ADMINS = {"/v1/model": "GET", "/v1/reload": "POST"}
WITHOUT_KEY = ("/ping", "/readyz", "/livez")


def cases() -> Iterator[Case]:
    for path, (body, most, headers) in WITH_BODY.items():
        good = Case(200, "POST", path, body, headers=headers)
        yield good
        yield good._replace(status=400, headers={**headers, DEADLINE_HEADER: "soon"})
        yield good._replace(status=401, key="none")
        yield good._replace(status=403, key="admin")
        yield good._replace(status=405, method="PUT")
        yield good._replace(status=413, body=b" " * (most + 1))
        yield good._replace(status=422, body=b"{}")
        yield good._replace(status=429, key="slow", twice=True)
        yield good._replace(status=503, expired=True)
    yield Case(409, "POST", "/v1/explain/features", recorded_row("0123"))
    yield Case(409, "POST", "/invocations", json_rows("0123"), headers={"Content-Type": JSON})
    yield Case(415, "POST", "/invocations", json_rows(), headers={"Content-Type": "text/html"})
    example = Case(200, "GET", "/v1/example")
    yield example
    yield example._replace(status=400, headers={DEADLINE_HEADER: "soon"})
    yield example._replace(status=401, key="none")
    yield example._replace(status=403, key="admin")
    yield example._replace(status=405, method="POST")
    yield example._replace(status=429, key="slow", twice=True)
    yield example._replace(status=503, expired=True)
    for path, method in FOR_ADMINS.items():
        yield Case(200, method, path)
        yield Case(401, method, path, key="none")
        yield Case(403, method, path, key="score")
        yield Case(405, "DELETE", path)
    for path in WITHOUT_KEY:
        yield Case(200, "GET", path, key="none")
        yield Case(405, "POST", path, key="none")
    for path in ("/ping", "/readyz"):
        yield Case(503, "GET", path, key="none", has_champion=False)


CASES = tuple(cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_as_documented(service: Service, case: Case) -> None:
    if not case.has_champion:
        service.registry.pointers = {}
        service.manager = ModelManager(service.registry, service.folder / "empty")  # type: ignore[arg-type]
        service.manager.refresh()
        service.use_states(CardStateReader(lambda: service.store, None, time.monotonic))
    keys = {"own": OWN, "none": None, "slow": service.slow_key, "admin": service.keys[KeyScope.ADMIN]}
    key = {**keys, "score": service.keys[KeyScope.SCORE]}[case.key]
    for _ in range(1 + case.twice):
        reply = service.request(case.method, case.path, case.body, key=key, expired=case.expired, **case.headers)
    assert reply.status == case.status
    assert reply.headers[b"content-type"] == b"application/json"
    assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
    if case.status != 200:
        assert reply.json["error"]
        assert (b"retry-after" in reply.headers) == (case.status in (429, 503))
        assert (b"www-authenticate" in reply.headers) == (case.status == 401)
        assert (b"allow" in reply.headers) == (case.status == 405)
        assert (reply.headers.get(b"connection") == b"close") == (case.status == 413)


def test_exactly_the_answers_that_are_reached_are_documented() -> None:
    documented = {
        (path, int(status))
        for path, operations in openapi(examples_without_model())["paths"].items()
        for operation in operations.values()
        for status in operation["responses"]
    }
    reached = {(case.path, case.status) for case in CASES}
    by_an_error_of_ours = {(path, 500) for path, _ in reached}
    assert documented == reached | by_an_error_of_ours


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        KeyError("secret"),
        RecursionError("secret"),
        MemoryError("secret"),
        ZeroDivisionError("secret"),
        UnicodeDecodeError("utf-8", b"secret", 0, 1, "secret"),
        ExceptionGroup("secret", [OSError("secret")]),
        StopAsyncIteration("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_exception_becomes_a_response_and_no_request_data_is_logged(
    metrics: ScoringMetrics, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(request: Request) -> Response:
        await request.body(1_000)
        raise error

    paths = [*WITH_BODY, *FOR_ADMINS, *WITHOUT_KEY]
    routes = Routes({("POST", path): breaks for path in paths}, metrics)
    with caplog.at_level(logging.DEBUG):
        for path in paths:
            reply = asyncio.run(respond(routes, "POST", path, BodyParts([b"secret"]), {"Authorization": "secret"}))
            assert (reply.status, reply.json) == (500, {"error": f"internal error: {type(error).__name__}"})
            assert f"{path} failed: {type(error).__name__} in breaks, {__file__}:" in caplog.text
    assert "secret" not in caplog.text


def test_a_cardwatch_error_without_a_status_is_500_with_its_message(metrics: ScoringMetrics) -> None:
    async def breaks(_: Request) -> Response:
        raise CorruptTable("the table is damaged")

    reply = asyncio.run(respond(Routes({("GET", "/"): breaks}, metrics), "GET", "/", BodyParts([b""]), {}))
    assert (reply.status, reply.json) == (500, {"error": "the table is damaged"})
