"""`cardwatch models` and `cardwatch model` on a real MLflow server and a move log in a file."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.move_log.sql import FILE
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import CorruptMoves, Misconfigured, MoveRefused
from cardwatch.registry import CANARY, CHAMPION, PREVIOUS, SHADOW
from cli.main import main
from tests.integration.scoring_load import Mlflow, Stack

Run = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def registry(stack: Stack, mlflow: Mlflow, versions: tuple[str, str]) -> Iterator[Mlflow]:
    """The registry with the first version as champion. `stack` wants to see it without one before."""
    mlflow.registry.set_alias(CHAMPION, versions[0])
    yield mlflow
    for alias in (SHADOW, CANARY, PREVIOUS):
        mlflow.registry.delete_alias(alias)


@pytest.fixture
def run(registry: Mlflow, home: Path) -> Run:
    """Runs a command and returns what it prints; raises its error."""
    settings = Settings(home=home, mlflow_url=registry.url)

    def called(*arguments: str) -> str:
        with main.make_context("cardwatch", [arguments[0]], resilient_parsing=True) as context:
            command = main.get_command(context, arguments[0])
        assert command is not None
        result: Result = CliRunner().invoke(
            command, arguments[1:], env={**settings.to_environment(), "COLUMNS": "200"}, catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        return result.output

    return called


def test_a_version_climbs_by_hand_and_every_move_has_its_actor_and_reason(
    run: Run, registry: Mlflow, versions: tuple[str, str], tmp_path: Path
) -> None:
    first, second = versions
    assert "champion" in run("models")
    despite = ("--despite-verdict", "--as", "ann")
    run("model", "challenge", second, *despite, "--reason", "trained elsewhere")
    run("model", "shadow", second, "--as", "ann", "--reason", "let us see")
    run("model", "canary", second, "--share", "0.25", *despite, "--reason", "no archive here")
    assert registry.registry.aliases().canary_share == 0.25
    run("model", "promote", second, *despite, "--reason", "it is good")
    assert registry.registry.aliases().versions[CHAMPION] == second
    told = run("model", "rollback", "--as", "bob", "--reason", "complaints")
    assert f"rollback version {first}, recorded" in told
    assert registry.registry.aliases().versions[CHAMPION] == first

    shown = run("models", "--json", str(tmp_path / "models.json"))
    assert "complaints" in shown
    overview = json.loads((tmp_path / "models.json").read_bytes())
    stages = {line["version"]: line["stage"] for line in overview["versions"]}
    assert (stages[first], stages[second]) == ("champion", "retired")
    assert [(move["kind"], move["actor"], move["reason"]) for move in overview["moves"]] == [
        ("adopt", "cardwatch", "it was champion before moves were recorded"),
        ("challenge", "ann", "despite its verdict: trained elsewhere"),
        ("shadow", "ann", "let us see"),
        ("canary", "ann", "despite its verdict: no archive here"),
        ("promote", "ann", "despite its verdict: it is good"),
        ("rollback", "bob", "complaints"),
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("challenge", "{second}"), "has not passed its offline verdict"),
        (("shadow", "{second}"), "is not on the ladder"),
        (("promote", "{first}"), "it is champion"),
        (("retire", "{first}"), "it is champion"),
        (("rollback",), "there is no previous champion"),
        (("shadow", "999"), "version 999 is not in the registry"),
    ],
)
def test_a_move_that_is_not_allowed_says_why_and_records_nothing(
    run: Run, versions: tuple[str, str], home: Path, arguments: tuple[str, ...], reason: str
) -> None:
    named = [argument.format(first=versions[0], second=versions[1]) for argument in arguments]
    with pytest.raises(MoveRefused, match=reason):
        run("model", *named, "--reason", "a test")
    assert not (home / FILE).exists() or _kinds(home) == ["adopt"]


def test_a_canary_without_recorded_scores_is_refused(run: Run, versions: tuple[str, str]) -> None:
    run("model", "challenge", versions[1], "--despite-verdict", "--reason", "a test")
    run("model", "shadow", versions[1], "--reason", "a test")
    with pytest.raises(MoveRefused, match=r"in shadow has not passed: it was not computed"):
        run("model", "canary", versions[1], "--reason", "a test")


def test_the_commands_of_the_page_put_back_the_former_champion(
    run: Run, registry: Mlflow, versions: tuple[str, str], home: Path
) -> None:
    first, second = versions
    for kind in ("challenge", "promote"):
        run("model", kind, second, "--despite-verdict", "--reason", "a test")
    assert registry.registry.champion().version == second
    page = (Path(__file__).parents[2] / "docs" / "former-champion.md").read_text(encoding="utf-8")
    commands = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)[0]
    environment = child_environment(Settings(home=home, mlflow_url=registry.url))
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    subprocess.run(["bash", "-euc", commands], check=True, capture_output=True, env=environment)  # noqa: S607 (as a reader types it)
    assert registry.registry.champion().version == first


def test_a_reason_of_blanks_is_none(run: Run, versions: tuple[str, str]) -> None:
    with pytest.raises(Misconfigured, match="the reason is empty"):
        run("model", "shadow", versions[1], "--reason", "  ")


def test_a_move_that_somebody_changed_in_the_database_ends_the_listing(
    run: Run, versions: tuple[str, str], home: Path
) -> None:
    run("model", "challenge", versions[1], "--despite-verdict", "--reason", "a test")
    run("model", "shadow", versions[1], "--reason", "a test")
    with closing(sqlite3.connect(home / FILE)) as database, database:
        [[content]] = database.execute("SELECT content FROM model_moves WHERE number = 2").fetchall()
        database.execute("UPDATE model_moves SET content = ? WHERE number = 2", [content.replace(b"a test", b"b test")])
    with pytest.raises(CorruptMoves, match="move 3 does not follow"):
        run("models")


def _kinds(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / FILE)) as database:
        contents = database.execute("SELECT content FROM model_moves ORDER BY number").fetchall()
    return [json.loads(content)["kind"] for (content,) in contents]
