"""YAML files that describe a simulated world: values, and the lines on which they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec
import yaml

from cardwatch.errors import Misconfigured
from cli.yaml_text import TypedLoader, load_yaml, read_text

_PLACED: Final = re.compile(r"(.*) - at `\$([\w.\[\]]*)`", re.DOTALL)
"""A reason of msgspec, and the path of the value; without a path, the value is the whole."""
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")


class YamlFile:
    """The content of one file. `kind` names it in messages: what the file describes."""

    def __init__(self, kind: str, path: Path) -> None:
        """Read the file, or raise `Misconfigured` with the line at which it is no YAML."""
        self.name = f"{kind} {path}"
        self.root, self.value = load_yaml(
            read_text(path, self.name, Misconfigured), self.name, TypedLoader, Misconfigured
        )

    def refusal(self, reason: str, node: yaml.Node | None = None) -> Misconfigured:
        """Return the error that names the file, the line of `node` (the first one if None), and where to read on."""
        line = 1 if node is None else node.start_mark.line + 1
        return Misconfigured(f"{self.name}: line {line}: {reason}; see docs/simulation.md")

    def convert(self, value: object, node: yaml.Node, kind: Any) -> Any:
        """Return a value of this file as a `kind`: a struct, or a union of structs with tags.

        Raises `Misconfigured` with the line of the field at fault, or of the value if a field is missing. An error that
        a struct raises itself has to begin with the name of its field.
        """
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            path, reason = _explain(error, value, kind)
            raise self.refusal(reason, _node_at(node, path)) from error


def _explain(error: msgspec.ValidationError, value: object, kind: Any) -> tuple[list[str], str]:
    """Return the path to the value at fault, from the value that was converted, and what is wrong with it."""
    placed = _PLACED.fullmatch(str(error))
    reason, path = (placed[1], re.findall(r"\w+", placed[2])) if placed else (str(error), [])
    if error.__cause__ is not None:  # by the struct itself
        return path + re.findall(r"^\w+", reason), ".".join([*path, reason])
    if found := _UNKNOWN.fullmatch(reason):
        known = _listed(_struct_at(path, value, kind).__struct_fields__)
        return [*path, found[1]], f"{'.'.join([*path, found[1]])}: there is no such field, only {known}"
    if found := _MISSING.fullmatch(reason):
        return path, f"{'.'.join([*path, found[1]])}: this field is missing"
    if reason.startswith("Invalid"):  # the tag of a struct, or one of several texts
        reason += f": it is one of {_listed(_choices(path, value, kind))}"
    fields = ".".join(step for step in path if not step.isdecimal())
    return path, f"{fields}: {reason}" if fields else reason


def _struct_at(path: Iterable[str], value: object, kind: Any) -> Any:
    """Return the struct at a path of fields; the first one, of a union, by the tag in the value."""
    structs: tuple[Any, ...] = get_args(kind) or (kind,)
    tag = value.get(structs[0].__struct_config__.tag_field) if isinstance(value, dict) else None
    found = next(struct for struct in structs if struct.__struct_config__.tag == tag)
    for field in path:
        hint = get_type_hints(found)[field]
        found = next(part for part in (hint, *get_args(hint)) if hasattr(part, "__struct_fields__"))
    return found


def _choices(path: Sequence[str], value: object, kind: Any) -> Iterable[str]:
    structs: tuple[Any, ...] = get_args(kind) or (kind,)
    *outer, field = path
    if not outer and field == structs[0].__struct_config__.tag_field:
        return (struct.__struct_config__.tag for struct in structs)
    return get_args(get_type_hints(_struct_at(outer, value, kind))[field])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _node_at(node: yaml.Node, path: Iterable[str]) -> yaml.Node:
    """Return the node at a path of keys and positions, the key for a value in its line; or the nearest around it."""
    found = node
    for step in path:
        if isinstance(node, yaml.MappingNode):
            # The last one: fields that are merged from elsewhere come before those that replace them.
            pairs = [(key, value) for key, value in node.value if key.value == step]
            if not pairs:
                return found
            found, node = pairs[-1]
        elif isinstance(node, yaml.SequenceNode) and step.isdecimal() and int(step) < len(node.value):
            found = node = node.value[int(step)]
    return found
