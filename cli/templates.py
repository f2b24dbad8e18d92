"""Rendering of the Jinja templates that lie beside the commands; those that commands share lie beside this module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2


def render(template: Path, **values: Any) -> str:
    """Return `template` rendered with `values`, escaped unless it is Markdown; a missing value raises an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=jinja2.select_autoescape(["html.j2", "svg.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(**values)
