"""`.env`, to which `make up` adds the secrets of the compose file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cardwatch.errors import Misconfigured
from infra.compose import SECRETS, add_secrets, addresses, console_token


def test_a_new_file_of_secrets_has_random_values_and_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    assert add_secrets(tmp_path / "one") == ["CARDWATCH_API_KEY", "CARDWATCH_CONSOLE_TOKEN", "GRAFANA_PASSWORD"]
    add_secrets(tmp_path / "two")
    values = [line.partition("=")[2] for name in ("one", "two") for line in (tmp_path / name).read_text().splitlines()]
    assert len(set(values)) == 6
    assert min(map(len, values)) >= 32
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("before", "added"),
    [
        ("CARDWATCH_API_KEY=mine", ["CARDWATCH_CONSOLE_TOKEN", "GRAFANA_PASSWORD"]),
        ("# a note\nGRAFANA_PASSWORD=mine\nexport CARDWATCH_API_KEY = 'mine'\nCARDWATCH_CONSOLE_TOKEN=x", []),
        ("CARDWATCH_API_KEY_OLD=x\n#GRAFANA_PASSWORD=x\n", list(SECRETS)),
    ],
)
def test_existing_lines_of_the_file_of_secrets_stay(tmp_path: Path, before: str, added: list[str]) -> None:
    file = tmp_path / ".env"
    file.write_text(before)
    assert add_secrets(file) == added
    after = file.read_text().splitlines()
    assert after[: len(before.splitlines())] == before.splitlines()
    assert [line.partition("=")[0] for line in after[len(before.splitlines()) :]] == added
    assert add_secrets(file) == []


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_of_secrets_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / ".env"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(Misconfigured, match=re.escape(str(file))):
        add_secrets(file)
    assert content is None or file.read_bytes() == content


def test_the_address_of_the_console_carries_the_token_that_was_made(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    add_secrets(file)
    [token] = re.findall(r"^CARDWATCH_CONSOLE_TOKEN=(.+)$", file.read_text(), re.MULTILINE)
    assert f"console      http://localhost:8080/#token={token}\n" in addresses(console_token(file))


def test_the_token_of_the_environment_comes_before_that_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("export CARDWATCH_CONSOLE_TOKEN = 'quoted'\n")
    assert console_token(file) == "quoted"
    monkeypatch.setenv("CARDWATCH_CONSOLE_TOKEN", "of-the-environment")
    assert console_token(file) == "of-the-environment"


def test_without_a_token_the_address_of_the_console_shows_only(tmp_path: Path) -> None:
    assert "console      http://localhost:8080\n" in addresses(console_token(tmp_path / "gone"))
