"""`cardwatch keys` with valid and invalid arguments and files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.runtime.settings import Settings, child_environment
from adapters.scoring.api_keys import KeyRing, KeyScope, read_keys
from cardwatch.errors import Misconfigured
from cli.keys import keys
from cli.main import main


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def running(home: Path, *arguments: str, file: Path | None = None) -> Result:
    environment = {"CARDWATCH_HOME": str(home), "CARDWATCH_API_KEYS_FILE": str(file) if file else None}
    return CliRunner().invoke(keys, arguments, env=environment)


def adding(home: Path, name: str, *options: str, file: Path | None = None) -> str:
    result = running(home, "add", name, "--scope", "score", *options, file=file)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def refused(result: Result) -> str:
    """Return the message of `cardwatch` for these arguments, after exit status 2."""
    assert isinstance(result.exception, Misconfigured), result.output
    assert result.stdout == ""
    return str(result.exception)


def test_only_the_key_is_on_stdout_and_it_is_valid(home: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "keys", "add", "acquirer", "--scope", "score", "--scope", "explain"]
    done = subprocess.run(
        command, env=child_environment(Settings(home=home)), capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"[\w-]{8}\.[\w-]{43}\n", done.stdout)
    plain = done.stdout.strip()
    ring = KeyRing("", home / "api-keys.json")
    for scope in (KeyScope.SCORE, KeyScope.EXPLAIN):
        assert ring.check(f"Bearer {plain}".encode(), scope).name == "acquirer"
    assert plain[9:] not in done.stderr
    assert "Authorization: Bearer KEY" in done.stderr
    assert "not shown again" in done.stderr


def test_an_error_is_one_message_and_exit_status_2(home: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "keys", "revoke", "nobody"]
    done = subprocess.run(
        command, env=child_environment(Settings(home=home)), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == f"cardwatch: {home}/api-keys.json has no key of name or id 'nobody'; see cardwatch keys list\n"
    )


def test_the_command_is_listed_in_the_help() -> None:
    assert re.search(
        r"keys +Add, list or revoke API keys of the scoring service", CliRunner().invoke(main, ["--help"]).stdout
    )


def test_the_list_shows_everything_but_secret_and_hash(home: Path) -> None:
    plain = adding(home, "acquirer", "--scope", "admin", "--rate", "100")
    other = adding(home, "issuer", "--rate", "0.5")
    third = adding(home, "auditor")
    shown = running(home, "list").stdout.splitlines()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"{plain[:8]}  acquirer  score,admin  100/s  {time}", shown[0])
    assert re.fullmatch(rf"{other[:8]}  issuer  score  0\.5/s  {time}", shown[1])
    assert re.fullmatch(rf"{third[:8]}  auditor  score  no limit  {time}", shown[2])
    assert len(shown) == 3
    for key in (plain, other, third):
        assert key[9:] not in "".join(shown)
    for stored in read_keys(home / "api-keys.json"):
        assert stored.sha256 not in "".join(shown)


def test_an_empty_list_names_the_command_to_create_a_key_and_creates_nothing(home: Path) -> None:
    result = running(home, "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (
        result.stderr == f"there are no keys in {home}/api-keys.json; make one: cardwatch keys add NAME --scope score\n"
    )
    assert not home.exists()


def test_another_file_is_used_if_it_is_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "keys.json"
    adding(home, "acquirer", file=file)
    assert [key.name for key in read_keys(file)] == ["acquirer"]
    assert not home.exists()


def test_a_revoked_key_is_removed_and_its_name_can_be_used_again(home: Path) -> None:
    plain = adding(home, "acquirer")
    result = running(home, "revoke", "acquirer")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"revoked: {plain[:8]}  acquirer  score  no limit  ")
    again = adding(home, "acquirer")
    assert [key.id for key in read_keys(home / "api-keys.json")] == [again[:8]]
    assert running(home, "revoke", again[:8]).exit_code == 0
    assert read_keys(home / "api-keys.json") == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "acquirer"), "Missing option '--scope'"),
        (("add", "--scope", "score"), "Missing argument 'NAME'"),
        (("add", "acquirer", "--scope", "root"), "'root' is not one of 'score', 'explain', 'admin'"),
        (("add", "acquirer", "--scope", "score,admin"), "'score,admin' is not one of"),
        (("add", "acquirer", "--scope", "score", "--rate", "-5"), "-5.0 is not in the range x>0"),
        (("add", "acquirer", "--scope", "score", "--rate", "0"), "0.0 is not in the range x>0"),
        (("add", "acquirer", "--scope", "score", "--rate", "fast"), "'fast' is not a valid float"),
        (("add", "two", "words", "--scope", "score"), "unexpected extra argument (words)"),
        (("revoke",), "Missing argument 'NAME_OR_ID'"),
    ],
)
def test_each_wrong_argument_has_its_message_and_nothing_is_created(
    home: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = running(home, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert not home.exists()


@pytest.mark.parametrize("rate", ["inf", "nan"])
def test_a_rate_that_would_mean_no_limit_is_refused(home: Path, rate: str) -> None:
    result = running(home, "add", "acquirer", "--scope", "score", "--rate", rate)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Invalid value for '--rate': {rate} is no finite number." in result.stderr
    assert not home.exists()


def test_a_name_in_use_keeps_its_key(home: Path) -> None:
    plain = adding(home, "acquirer")
    assert refused(running(home, "add", "acquirer", "--scope", "admin")).startswith("'acquirer' is taken: revoke")
    [kept] = read_keys(home / "api-keys.json")
    assert (kept.id, kept.scopes) == (plain[:8], (KeyScope.SCORE,))


def test_revoking_an_unknown_key_leaves_the_others(home: Path) -> None:
    adding(home, "acquirer")
    for unknown in ("Acquirer", "acquire", "", "00000000"):
        message = refused(running(home, "revoke", unknown))
        assert message == f"{home}/api-keys.json has no key of name or id {unknown!r}; see cardwatch keys list"
    assert len(read_keys(home / "api-keys.json")) == 1


COMMANDS = [("list",), ("add", "issuer", "--scope", "score"), ("revoke", "acquirer")]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_an_invalid_file_is_named_and_not_changed(home: Path, arguments: tuple[str, ...]) -> None:
    home.mkdir()
    file = home / "api-keys.json"
    file.write_text('{"keys": [')
    message = refused(running(home, *arguments))
    assert message.startswith(f"the file of API keys {file} cannot be used: Input data was truncated; correct it, or ")
    assert file.read_text() == '{"keys": ['


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_folder_in_place_of_the_file_is_an_error(home: Path, arguments: tuple[str, ...]) -> None:
    (home / "api-keys.json").mkdir(parents=True)
    assert f"the file of API keys {home}/api-keys.json cannot be used: " in refused(running(home, *arguments))


def test_a_file_that_cannot_be_written_shows_no_key(home: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no folder")
    too_long_for_a_temporary_name = home / ("k" * 250)
    for file in (tmp_path / "plain" / "keys.json", too_long_for_a_temporary_name):
        message = refused(running(home, "add", "acquirer", "--scope", "score", file=file))
        assert message.startswith(f"the file of API keys {file} cannot be written: ")
        assert message.endswith("; CARDWATCH_API_KEYS_FILE can name another")
        assert not file.exists()
