"""YAML files that describe a simulated world: values, and the lines on which they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from cardwatch.errors import Misconfigured


class YamlFile:
    """The content of one file. `kind` names it in messages: what the file describes."""

    def __init__(self, kind: str, path: Path) -> None:
        """Read the file, or raise `Misconfigured` with the line at which it is no YAML."""
        self.name = f"{kind} {path}"
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise Misconfigured(f"{self.name}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Misconfigured(f"{self.name}: is not UTF-8 text") from error
        try:
            self.root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            raise Misconfigured(f"{self.name}: {line}not valid YAML: {error.problem}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise Misconfigured(f"{self.name}: not valid YAML: {error}") from error

    def convert(self, value: object, node: yaml.Node, kind: Any) -> Any:
        """Return a value of this file as a `kind`, or raise `Misconfigured` with the line of the mistake."""
        try:
            _refuse_repeated_keys(node)
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            reason, _, place = str(error).partition(" - at `$")
            key = place.strip("`.").partition(".")[0].partition("[")[0]
            named = f"{key}: " if key else ""
            line = _line_of(node, key or reason.partition("=")[0])
            raise Misconfigured(f"{self.name}: line {line}: {named}{reason}") from error


def _refuse_repeated_keys(node: yaml.Node) -> None:
    names = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    for position, name in enumerate(names):
        if name in names[:position]:
            raise msgspec.ValidationError(f"it is there twice - at `$.{name}`")


def _line_of(node: yaml.Node, key: str) -> int:
    """Return the line of a key of a mapping, counted from 1; that of the mapping if it has no such key."""
    fields: list[tuple[Any, Any]] = node.value if isinstance(node, yaml.MappingNode) else []
    lines = [name.start_mark.line + 1 for name, _ in fields if name.value == key]
    return int(lines[-1] if lines else node.start_mark.line + 1)
