"""`python -m services.scoring` with settings that it cannot use: one line that says which, and exit status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.settings import Secret, Settings, child_environment
from infra.local.ports import free_ports


def started_with(settings: Settings) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "services.scoring"],
        env=child_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(("file", "content"), [("api-keys.json", "{"), ("policy.toml", "[decisions]")])
def test_a_file_that_cannot_be_read_stops_the_start_instead_of_every_worker(
    tmp_path: Path, file: str, content: str
) -> None:
    (tmp_path / file).write_text(content)
    [port] = free_ports(1)
    settings = Settings(
        home=tmp_path,
        scoring_url=f"http://127.0.0.1:{port}",
        mlflow_url="http://127.0.0.1:1",
        api_key=Secret("key"),
        policy_file=tmp_path / "policy.toml" if file == "policy.toml" else None,
    )
    status, said = started_with(settings)
    assert status == 2
    assert file in said
    assert len(said.splitlines()) == 1
