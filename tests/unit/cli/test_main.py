"""The command `cardwatch` lists and imports its commands by name."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from cli import main


def test_every_command_exists_under_its_name() -> None:
    with main.main.make_context("cardwatch", ["--"], resilient_parsing=True) as context:
        names = main.main.list_commands(context)
        assert names == list(main.COMMANDS)
        for name in names:
            command = main.main.get_command(context, name)
            assert command is not None
            assert command.name == name


def test_a_command_whose_module_is_not_installed_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = main.COMMANDS["tables"]
    monkeypatch.setattr(main, "COMMANDS", {"tables": tables, "gone": ("cli.gone.command", "Not in this image.")})
    shown = CliRunner().invoke(main.main, ["--help"])
    assert "tables" in shown.output
    assert "gone" not in shown.output
    called = CliRunner().invoke(main.main, ["gone"])
    assert (called.exit_code, "No such command 'gone'" in called.output) == (2, True)
