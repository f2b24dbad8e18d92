"""Addresses of a running stack, formatted for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.addresses import without_userinfo

_TITLES: Final = {"scoring": "Scoring", "mlflow": "MLflow", "prefect": "Prefect", "kafka": "Kafka"}


def addresses(home: StackHome, status: StackStatus) -> str:
    """Return the addresses of the stack, and the commands for using it."""
    lines = [f"  {title:<8} {without_userinfo(status.endpoints[name].address)}" for name, title in _TITLES.items()]
    commands = [
        "  cardwatch example | sh   a first request to the scoring service; its address above is a page to try it",
        f"  source {relative(home.addresses)}   addresses and API key for this shell",
        "  cardwatch ps | cardwatch logs -f | cardwatch down",
    ]
    return "\n".join(["", *lines, "", *commands])


def relative(path: Path) -> Path:
    """Return the path relative to the working directory if it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
