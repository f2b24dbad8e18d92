"""Files with a timeline: what changes in a simulated world, in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from cardwatch.simulation.combined_ratios import find_excess
from cardwatch.simulation.settings import WorldEvent
from cli.simulate.yaml_file import YamlFile

_KEY: Final = "events"


def read_timeline(path: Path) -> tuple[WorldEvent, ...]:
    """Return the events of a file, or raise `Misconfigured` with the line of the first mistake."""
    file = YamlFile("timeline", path)
    nodes = _event_nodes(file)
    values = zip(file.value[_KEY], nodes, strict=True)
    events: list[WorldEvent] = [file.convert(value, node, WorldEvent) for value, node in values]
    if (excess := find_excess(events)) is not None:
        raise file.refusal(excess.reason, nodes[excess.position])
    return tuple(events)


def _event_nodes(file: YamlFile) -> list[yaml.Node]:
    fields = file.root.value if isinstance(file.root, yaml.MappingNode) and isinstance(file.value, dict) else []
    others = [key for key, _ in fields if key.value != _KEY]
    if others or not fields:
        raise file.refusal(f"it needs one key, '{_KEY}', with a list of events", others[0] if others else file.root)
    events = fields[-1][1]
    if not isinstance(events, yaml.SequenceNode):
        raise file.refusal(f"{_KEY}: it is not a list", events)
    return list(events.value)
