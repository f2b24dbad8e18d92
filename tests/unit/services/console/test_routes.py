"""Requests that no page sends: the console answers each with a reason, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette

from adapters.runtime.settings import read_settings
from cardwatch.live.topic_state import TopicState
from cardwatch.simulation.settings import SimulationSettings
from services.console.broadcast import MAX_PAGES, Broadcaster
from services.console.decision_details import DecisionDetails
from services.console.guard import TOKEN_HEADER, Guard
from services.console.labels import Labeller
from services.console.letters import Letters
from services.console.page_file import Page
from services.console.record_routes import RecordRoutes
from services.console.routes import ConsoleRoutes
from services.console.sending import Sender

TOKEN = "the-token-of-this-test"  # noqa: S105
DIGITS = "9" * 5_000


@pytest.fixture
def broadcaster() -> Broadcaster:
    return Broadcaster()


@pytest.fixture
def console(broadcaster: Broadcaster) -> Starlette:
    """A console that has seen no record. What would need a broker or another process is not there."""
    absent = cast("Any", None)
    settings, state = read_settings({}), TopicState({}, 0.0)
    sender = Sender(settings, state, absent, SimulationSettings(seed=1))
    records = RecordRoutes(sender, Labeller(settings, state), Letters(settings))
    details = DecisionDetails(state, absent, absent)
    guard, page = Guard({"testserver"}, TOKEN), Page(b"<p>", "default-src 'none'")
    routes = ConsoleRoutes(guard, page, broadcaster, absent, absent, details, records.endpoints())
    return routes.application()


async def answer_of(
    console: Starlette, method: str, path: str, *, body: bytes = b"", params: Mapping[str, str] | None = None
) -> httpx.Response:
    """The answer to a request with the token."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console), base_url="http://testserver") as client:
        return await client.request(method, path, content=body, params=params, headers={TOKEN_HEADER: TOKEN})


def status_of(
    console: Starlette, method: str, path: str, *, body: bytes = b"", params: Mapping[str, str] | None = None
) -> int:
    return asyncio.run(answer_of(console, method, path, body=body, params=params)).status_code


@pytest.mark.parametrize("number", [DIGITS, "1" + "0" * 18])
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/decisions/0/{}"), ("POST", "/api/dead-letters/{}/0")])
def test_a_position_that_no_log_can_have_is_not_found(console: Starlette, method: str, path: str, number: str) -> None:
    assert status_of(console, method, path.format(number)) == 404


def test_a_seed_of_thousands_of_digits_is_refused(console: Starlette) -> None:
    assert status_of(console, "GET", "/api/presets/genuine", params={"card": "c", "seed": DIGITS}) == 422


@pytest.mark.parametrize("body", [b"[" * 60_000, b"x" * 70_000, b"[NaN]", b"\xff", b"", b"[]", b"null"])
def test_a_body_that_is_no_list_of_transactions_is_refused(console: Starlette, body: bytes) -> None:
    assert status_of(console, "POST", "/api/previews", body=body) == 422


@pytest.mark.parametrize("offset", ["9" * 400, "1e400", "-1", "NaN"])
def test_a_label_of_what_was_not_decided_is_refused(console: Starlette, offset: str) -> None:
    body = f'{{"partition": 0, "offset": {offset}, "is_fraud": true}}'
    assert status_of(console, "POST", "/api/labels", body=body.encode()) in (409, 422)


def test_more_pages_than_the_limit_are_refused_and_other_requests_are_answered(
    console: Starlette, broadcaster: Broadcaster
) -> None:
    async def asked_while_all_are_open() -> list[httpx.Response]:
        pages = [broadcaster.subscribe() for _ in range(MAX_PAGES)]
        for page in pages:
            await anext(page)
        return [await answer_of(console, "GET", path) for path in ("/api/live", "/")]

    refused, answered = asyncio.run(asked_while_all_are_open())
    assert (refused.status_code, answered.status_code) == (503, 200)
    assert refused.headers["Connection"] == "close"  # one that stays open would be one of the server's limit
