"""Requests that the console refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.requests import Request

from adapters.runtime.addresses import plain
from adapters.scoring.api_keys import KeyRing, KeyScope, add_key
from cardwatch.cases.history import Investigator
from cardwatch.errors import InvalidRecord
from services.console.guard import UNNAMED, Guard, Refusal

TOKEN = "the-token"  # noqa: S105 (of this test)
GUARD = Guard({"127.0.0.1:8080", "localhost:8080"}, TOKEN)
CREATED = datetime(2025, 1, 6, tzinfo=UTC)
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


def asks_for_cases(tmp_path: Path, method: str = "GET", **headers: str) -> tuple[Refusal | None, Request]:
    """Ask with the key of anna, who may read and work, and that of chief, who may supervise too."""
    asked = request(method, **headers)
    return Guard({"127.0.0.1:8080"}, TOKEN, KeyRing("", tmp_path / "keys.json")).admit(
        asked, KeyScope.CASES_WORK
    ), asked


def key(tmp_path: Path, name: str, *scopes: KeyScope) -> str:
    file = tmp_path / "keys.json"
    secret, _ = add_key(file, name=name, scopes=scopes, rate_per_second=None, created_at=CREATED)
    return f"Bearer {plain(secret)}"


def test_a_key_names_its_holder_and_says_whether_they_supervise(tmp_path: Path) -> None:
    anna = key(tmp_path, "anna", KeyScope.CASES_WORK)
    chief = key(tmp_path, "chief", KeyScope.CASES_WORK, KeyScope.CASES_SUPERVISE)
    for authorization, expected in ((anna, Investigator("anna")), (chief, Investigator("chief", is_supervisor=True))):
        refusal, asked = asks_for_cases(tmp_path, authorization=authorization)
        assert (refusal, asked.state.caller) == (None, expected)
    named, asked = asks_for_cases(tmp_path, authorization=anna, x_cardwatch_investigator="chief")
    assert (named, asked.state.caller.name) == (None, "anna")


def test_the_token_has_every_scope_and_the_name_that_the_page_sends(tmp_path: Path) -> None:
    refusal, asked = asks_for_cases(tmp_path, x_cardwatch_token=TOKEN)
    assert (refusal, asked.state.caller) == (None, Investigator(UNNAMED, is_supervisor=True))
    refusal, asked = asks_for_cases(tmp_path, x_cardwatch_token=TOKEN, x_cardwatch_investigator="%C3%84nna%20B")
    assert asked.state.caller.name == "\u00c4nna B"
    with pytest.raises(InvalidRecord, match="X-Cardwatch-Investigator: is no name"):
        asks_for_cases(tmp_path, x_cardwatch_token=TOKEN, x_cardwatch_investigator="a%00")


def test_neither_reading_nor_changing_cases_goes_without_token_or_key(tmp_path: Path) -> None:
    other_scope = key(tmp_path, "switch", KeyScope.SCORE)
    for method in ("GET", "POST"):
        nothing, _ = asks_for_cases(tmp_path, method)
        wrong, _ = asks_for_cases(tmp_path, method, authorization="Bearer wrong", x_cardwatch_token=TOKEN)
        other, _ = asks_for_cases(tmp_path, method, authorization=other_scope)
        assert [each.status for each in (nothing, wrong, other) if each] == [401, 401, 403]
    foreign, _ = asks_for_cases(tmp_path, authorization=other_scope, origin="http://evil.example")
    assert foreign is not None
    assert foreign.status == 403


def test_a_key_opens_nothing_else() -> None:
    refusal = GUARD.refusal(request(authorization="Bearer own"))
    assert refusal is not None
    assert refusal.status == 401
