"""`.env`, to which `make up` adds the secrets of the compose file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cardwatch.errors import Misconfigured
from infra.compose import add_secrets


def test_a_new_file_of_secrets_has_random_values_and_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    assert add_secrets(tmp_path / "one") == ["CARDWATCH_API_KEY", "GRAFANA_PASSWORD"]
    add_secrets(tmp_path / "two")
    values = [line.partition("=")[2] for name in ("one", "two") for line in (tmp_path / name).read_text().splitlines()]
    assert len(set(values)) == 4
    assert min(map(len, values)) >= 32
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("before", "added"),
    [
        ("CARDWATCH_API_KEY=mine", ["GRAFANA_PASSWORD"]),
        ("# a note\nGRAFANA_PASSWORD=mine\nexport CARDWATCH_API_KEY = 'mine'\n", []),
        ("CARDWATCH_API_KEY_OLD=x\n#GRAFANA_PASSWORD=x\n", ["CARDWATCH_API_KEY", "GRAFANA_PASSWORD"]),
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
