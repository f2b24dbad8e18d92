"""Files with a timeline: what changes in a simulated world, in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from cardwatch.errors import Misconfigured
from cardwatch.simulation.settings import WorldEvent
from cli.simulate.yaml_file import YamlFile

_KEY: Final = "events"


def read_timeline(path: Path) -> tuple[WorldEvent, ...]:
    """Return the events of a file, or raise `Misconfigured` with the line of the first one that is wrong."""
    file = YamlFile("timeline", path)
    nodes = _event_nodes(file)
    values = zip(file.value[_KEY], nodes, strict=True)
    events: list[WorldEvent] = [file.convert(value, node, WorldEvent) for value, node in values]
    return tuple(events)


def _event_nodes(file: YamlFile) -> list[yaml.Node]:
    fields = file.root.value if isinstance(file.root, yaml.MappingNode) else []
    names = [key.value for key, _ in fields]
    if names != [_KEY]:
        raise Misconfigured(f"{file.name}: needs one key, '{_KEY}', with a list of events; see docs/simulation.md")
    events = fields[0][1]
    if not isinstance(events, yaml.SequenceNode):
        raise Misconfigured(f"{file.name}: line {events.start_mark.line + 1}: '{_KEY}' is not a list")
    return list(events.value)
