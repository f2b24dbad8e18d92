"""The command `cardwatch` lists and imports its commands by name."""

from __future__ import annotations

import ast
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from cardwatch.errors import MappingError, Misconfigured
from cli import main
from cli.contracts import contracts


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


def commands_of(group: click.Group, context: click.Context) -> Iterator[click.Command]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from commands_of(command, context)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_option_takes_a_number_that_is_none(value: str) -> None:
    with main.main.make_context("cardwatch", ["--"], resilient_parsing=True) as context:
        options = [each for command in commands_of(main.main, context) for each in command.params]
    numbers = [each for each in options if isinstance(each.type, click.types.FloatParamType)]
    assert len(numbers) > 5
    for option in numbers:
        with pytest.raises(click.BadParameter):
            option.type.convert(value, option, None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cardwatch: No space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "page.json"), "cardwatch: Permission denied: page.json\n"),
        (
            MappingError("has no column 'time'. Its columns:\n  \x1b[2J\x07, caf\xe9, \udcff"),
            "cardwatch: has no column 'time'. Its columns:\n  \\x1b[2J\\x07, caf\xe9, \\udcff\n",
        ),
        (
            UnicodeEncodeError("utf-8", "caf\udce9.csv", 3, 4, "surrogates not allowed"),
            "cardwatch: 'caf\\udce9.csv' is not UTF-8 text; rename the file, or write the argument in UTF-8\n",
        ),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),
    ],
)
def test_a_file_that_cannot_be_written_ends_a_command_with_one_line_and_a_closed_pipe_silently(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> NoReturn:
        raise error

    monkeypatch.setattr(contracts, "callback", fail)
    monkeypatch.setattr(contracts, "params", [])
    result = CliRunner().invoke(main.main, ["contracts"])
    assert (result.exit_code, result.output) == (2 if isinstance(error, (Misconfigured, UnicodeError)) else 1, said)


def test_the_command_itself_imports_no_other_part_of_it() -> None:
    """The image of the pipelines has this module and single commands; an error message must not need another one."""
    tree = ast.parse(Path(main.__file__).read_text("utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported
    assert not [name for name in imported if name and name.startswith("cli")]
