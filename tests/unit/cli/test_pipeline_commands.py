"""Commands that start a pipeline name a module that exists."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner


@pytest.mark.parametrize("command", ["backfill", "replay"])
def test_the_module_of_the_pipeline_exists(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def run_pipeline(module: str, **_arguments: object) -> None:
        started.append(module)

    module = import_module(f"cli.{command}")
    monkeypatch.setattr(module, "run_pipeline", run_pipeline)
    ended = CliRunner().invoke(getattr(module, command), ["--out", str(tmp_path / "out")])
    assert ended.exit_code == 0, ended.output
    [name] = started
    assert find_spec(f"pipelines.{name}") is not None
