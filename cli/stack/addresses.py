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
    lines.insert(0, f"  {'Console':<8} {console_address(status)}")
    commands = [
        "  cardwatch example | sh   a first request to the scoring service; its address above is a page to try it",
        f"  source {relative(home.addresses)}   addresses and API key for this shell",
        "  cardwatch ps | cardwatch logs -f | cardwatch down",
    ]
    return "\n".join(["", *lines, "", *commands])


def console_address(status: StackStatus) -> str:
    """Return the address of the console's page. The token is in the fragment, which browsers send to nobody."""
    return f"{status.environment['CARDWATCH_CONSOLE_URL']}/#token={status.environment['CARDWATCH_CONSOLE_TOKEN']}"


def relative(path: Path) -> Path:
    """Return the path relative to the working directory if it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
