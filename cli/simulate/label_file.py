"""Files with label settings: when and how the fraud of a simulated world becomes known, in YAML."""

from __future__ import annotations

from pathlib import Path

import yaml

from cardwatch.simulation.label_settings import LabelSettings
from cli.simulate.yaml_file import YamlFile


def read_label_settings(path: Path) -> LabelSettings:
    """Return the settings of a file, or raise `Misconfigured` with the line of the mistake."""
    file = YamlFile("labels", path)
    if not isinstance(file.root, yaml.MappingNode):
        raise file.refusal("it needs settings by name", file.root)
    settings: LabelSettings = file.convert(file.value, file.root, LabelSettings)
    return settings
