"""The console's interface to model versions, on a real MLflow server and a move log in a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.runtime.settings import Settings
from cardwatch.live.topic_state import TopicState
from cardwatch.registry import CANARY, CHAMPION, PREVIOUS, SHADOW
from services.console.broadcast import Broadcaster
from services.console.feed import Feed
from services.console.guard import TOKEN_HEADER, Guard
from services.console.model_routes import ModelRoutes
from services.console.page_file import Page
from services.console.routes import ConsoleRoutes
from tests.integration.scoring_load import Mlflow, Stack

TOKEN = "the-token-of-this-test"  # noqa: S105
HOST = "127.0.0.1:8080"
Ask = Callable[..., tuple[int, Any]]
NOTHING: Any = None


@pytest.fixture
def registry(stack: Stack, mlflow: Mlflow, versions: tuple[str, str]) -> Iterator[Mlflow]:
    """The registry with the first version as champion. `stack` wants to see it without one before."""
    mlflow.registry.set_alias(CHAMPION, versions[0])
    yield mlflow
    for alias in (SHADOW, CANARY, PREVIOUS):
        mlflow.registry.delete_alias(alias)


def asking(settings: Settings) -> Ask:
    models = ModelRoutes(settings)
    feed = Feed(NOTHING, TopicState({}, 0.0), Broadcaster())
    routes = ConsoleRoutes(
        Guard({HOST}, TOKEN), Page(b"", "", None), Broadcaster(), feed, NOTHING, NOTHING, models.endpoints()
    )
    transport = httpx.ASGITransport(app=routes.application())

    def ask(method: str, path: str, body: object = None, token: str = TOKEN) -> tuple[int, Any]:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                content = {"content": body} if isinstance(body, bytes) else {"json": body}
                return await client.request(method, path, headers={TOKEN_HEADER: token}, **content)  # type: ignore[arg-type]

        answer = asyncio.run(asked())
        return answer.status_code, answer.json()

    return ask


@pytest.fixture
def ask(registry: Mlflow, tmp_path: Path) -> Ask:
    return asking(Settings(home=tmp_path, mlflow_url=registry.url))


def test_a_version_is_moved_and_rolled_back_and_the_listing_shows_it(
    ask: Ask, registry: Mlflow, versions: tuple[str, str]
) -> None:
    first, second = versions
    for kind in ("challenge", "promote"):
        move = {"kind": kind, "version": second, "reason": "it is better", "despite_verdict": True}
        status, made = ask("POST", "/api/models/moves", move)
        assert status == 200, made
    assert registry.registry.champion().version == second
    status, made = ask("POST", "/api/models/moves", {"kind": "rollback", "reason": "complaints"})
    assert (status, made["lines"][0]) == (200, f"move 4: rollback version {first}, recorded")
    assert registry.registry.champion().version == first

    status, overview = ask("GET", "/api/models")
    assert status == 200
    stages = {line["version"]: line["stage"] for line in overview["versions"]}
    assert (stages[first], stages[second]) == ("champion", "retired")
    assert [(move["kind"], move["actor"], move["reason"]) for move in overview["moves"][1:]] == [
        ("challenge", "console", "despite its verdict: it is better"),
        ("promote", "console", "despite its verdict: it is better"),
        ("rollback", "console", "complaints"),
    ]


@pytest.mark.parametrize(
    ("move", "status", "said"),
    [
        ({"kind": "shadow", "version": "{second}", "reason": "a test"}, 409, "is not on the ladder"),
        ({"kind": "challenge", "version": "{second}", "reason": "a test"}, 409, "has not passed its offline verdict"),
        ({"kind": "rollback", "reason": "a test"}, 409, "there is no previous champion"),
        ({"kind": "adopt", "version": "{second}", "reason": "a test"}, 409, "the system makes it"),
        ({"kind": "retire", "reason": "a test"}, 409, "needs a version"),
        ({"kind": "rollback", "reason": ""}, 422, "$.reason"),
        ({"kind": "rollback", "reason": " "}, 409, "the reason is empty"),
        ({"kind": "canary", "version": "1", "reason": "x", "share": 1.0}, 422, "$.share"),
        ({"kind": "explode", "version": "1", "reason": "x"}, 422, "$.kind"),
        ({"kind": "rollback", "reason": "x", "as": "ann"}, 422, "as"),
    ],
)
def test_a_move_that_is_not_possible_says_why_and_changes_nothing(
    ask: Ask, versions: tuple[str, str], move: dict[str, str], status: int, said: str
) -> None:
    named = {
        name: value.format(second=versions[1]) if isinstance(value, str) else value for name, value in move.items()
    }
    found, answer = ask("POST", "/api/models/moves", named)
    assert (found, said in answer["error"]) == (status, True), answer
    _, overview = ask("GET", "/api/models")
    assert [each["kind"] for each in overview["moves"]] in ([], ["adopt"])


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"\xff", b"[" * 5_000, b" " * 70_000])
def test_what_is_no_move_is_refused(ask: Ask, body: bytes) -> None:
    assert ask("POST", "/api/models/moves", body)[0] == 422


def test_nothing_is_moved_without_the_token(ask: Ask) -> None:
    assert ask("POST", "/api/models/moves", {"kind": "rollback", "reason": "x"}, token="wrong")[0] == 401  # noqa: S106


def test_without_a_registry_the_answer_names_the_setting(tmp_path: Path) -> None:
    status, answer = asking(Settings(home=tmp_path))("GET", "/api/models")
    assert (status, "CARDWATCH_MLFLOW_URL" in answer["error"]) == (409, True)
