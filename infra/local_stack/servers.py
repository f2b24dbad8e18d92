"""The MLflow and Prefect servers as processes of the local stack."""

from __future__ import annotations

from typing import Final

from adapters.local_stack.readiness import READY_PATHS, is_responding
from adapters.runtime.addresses import plain
from adapters.runtime.settings import Settings, child_environment
from infra.images.servers import SERVERS
from infra.local_stack.supervisor import ProcessSpec

_FIRST_START_SECONDS: Final = 180.0
"""The first start creates a database, which takes most of a minute on a loaded machine."""


def server_spec(name: str, settings: Settings) -> ProcessSpec:
    """Return how to start the server `mlflow` or `prefect` at the address in the settings."""
    server, address = SERVERS[name](settings), plain(getattr(settings, f"{name}_url"))
    return ProcessSpec(
        name=name,
        command=server.command,
        environment=child_environment(settings, **server.environment),
        ready=lambda: is_responding(address + READY_PATHS[name], name),
        ready_within_seconds=_FIRST_START_SECONDS,
    )
