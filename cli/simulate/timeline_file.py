"""Files with a timeline: what changes in a simulated world, in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from cardwatch.errors import Misconfigured
from cardwatch.simulation.settings import WorldEvent

_KEY: Final = "events"


def read_timeline(path: Path) -> tuple[WorldEvent, ...]:
    """Return the events of a file, or raise `Misconfigured` with the line of the first one that is wrong."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise Misconfigured(f"timeline {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"timeline {path}: is not UTF-8 text") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise Misconfigured(f"timeline {path}: {line}not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Misconfigured(f"timeline {path}: not valid YAML: {error}") from error
    nodes = _event_nodes(path, root)
    return tuple(_event(path, value, node) for value, node in zip(document[_KEY], nodes, strict=True))


def _event_nodes(path: Path, root: yaml.Node | None) -> list[yaml.Node]:
    fields = root.value if isinstance(root, yaml.MappingNode) else []
    names = [key.value for key, _ in fields]
    if names != [_KEY]:
        raise Misconfigured(f"timeline {path}: needs one key, '{_KEY}', with a list of events; see docs/simulation.md")
    events = fields[0][1]
    if not isinstance(events, yaml.SequenceNode):
        raise Misconfigured(f"timeline {path}: line {events.start_mark.line + 1}: '{_KEY}' is not a list")
    return list(events.value)


def _event(path: Path, value: object, node: yaml.Node) -> WorldEvent:
    try:
        _refuse_repeated_keys(node)
        event: WorldEvent = msgspec.convert(value, WorldEvent)
        return event
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        key = place.strip("`.").partition(".")[0]
        where = _line_of(node, key)
        named = f"{key}: " if key else ""
        raise Misconfigured(f"timeline {path}: line {where}: {named}{reason}") from error


def _refuse_repeated_keys(node: yaml.Node) -> None:
    names = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    for position, name in enumerate(names):
        if name in names[:position]:
            raise msgspec.ValidationError(f"it is there twice - at `$.{name}`")


def _line_of(node: yaml.Node, key: str) -> int:
    """Return the line of a key of an event, counted from 1; that of the event if it has no such key."""
    fields: list[tuple[Any, Any]] = node.value if isinstance(node, yaml.MappingNode) else []
    lines = [name.start_mark.line + 1 for name, _ in fields if name.value == key]
    return int(lines[-1] if lines else node.start_mark.line + 1)
