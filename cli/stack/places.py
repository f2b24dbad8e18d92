"""Where the parts of a running stack are found, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from infra.local_stack.stack_home import StackHome, Standing

_FOR_PEOPLE: Final = {"scoring": "Scoring", "mlflow": "MLflow", "prefect": "Prefect", "kafka": "Kafka"}


def addresses(home: StackHome, standing: Standing) -> str:
    """The addresses, and the commands that come next."""
    lines = [f"  {title:<8} {standing.places[name].address}" for name, title in _FOR_PEOPLE.items()]
    commands = [
        f"  source {short(home.addresses)}   addresses and API key for this shell",
        "  cardwatch ps | cardwatch logs -f | cardwatch down",
    ]
    return "\n".join(["", *lines, "", *commands])


def short(path: Path) -> Path:
    """The path as it is seen from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
