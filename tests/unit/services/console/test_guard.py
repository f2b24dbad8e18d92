"""Requests that the console refuses."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from services.console.guard import Guard

TOKEN = "the-token"  # noqa: S105 (of this test)
GUARD = Guard({"127.0.0.1:8080", "localhost:8080"}, TOKEN)
PAGE = "http://127.0.0.1:8080"


def request(method: str = "POST", **headers: str) -> Request:
    given = {"host": "127.0.0.1:8080", **{name.replace("_", "-"): value for name, value in headers.items()}}
    encoded = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": method, "path": "/", "headers": encoded})


def test_the_own_page_with_the_token_may_change_something() -> None:
    assert GUARD.refusal(request(origin=PAGE, x_cardwatch_token=TOKEN)) is None


def test_a_program_without_origin_may_too_if_it_knows_the_token() -> None:
    assert GUARD.refusal(request(x_cardwatch_token=TOKEN)) is None


def test_reading_needs_no_token() -> None:
    assert GUARD.refusal(request("GET")) is None


@pytest.mark.parametrize("token", ["", "the-toke", "the-token2", "\u00e9"])
def test_a_wrong_token_is_refused(token: str) -> None:
    refusal = GUARD.refusal(request(x_cardwatch_token=token))
    assert refusal is not None
    assert refusal.status == 401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8080", "http://127.0.0.1:8081"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_page_of_another_origin_is_refused_even_with_the_token(origin: str, method: str) -> None:
    refusal = GUARD.refusal(request(method, origin=origin, x_cardwatch_token=TOKEN))
    assert refusal is not None
    assert refusal.status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:8081", ""])
def test_a_name_that_was_bound_to_loopback_is_refused(host: str) -> None:
    refusal = GUARD.refusal(request("GET", host=host))
    assert refusal is not None
    assert refusal.status == 421
