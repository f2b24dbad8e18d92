"""The MLflow and Prefect servers as processes of the local stack, and their readiness checks."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Final

import httpx

from adapters.runtime.settings import Settings, child_environment
from infra.images.servers import SERVERS
from infra.local_stack.supervisor import ProcessSpec

READY_PATHS: Final = {"mlflow": "/health", "prefect": "/api/health"}

_FIRST_START_SECONDS: Final = 180.0
"""The first start creates a database, which takes most of a minute on a loaded machine."""


def is_responding(url: str) -> bool:
    """Whether `GET url` succeeds."""
    return unready_reason(url) is None


def unready_reason(url: str) -> str | None:
    """Return why `GET url` does not succeed, from the response if it gives a reason; None if it succeeds."""
    try:
        response = _client().get(url)
    except httpx.HTTPError:
        return "it does not answer yet"
    if response.is_success:
        return None
    try:
        body = response.json()
        return str(body.get("reason") or body["error"])
    except (ValueError, KeyError, AttributeError):
        return f"it answers {response.status_code} {HTTPStatus(response.status_code).phrase}"


@cache
def _client() -> httpx.Client:
    """Return the shared client; creating one costs 20 ms, and readiness is polled several times a second."""
    return httpx.Client(timeout=2.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def server_spec(name: str, settings: Settings) -> ProcessSpec:
    """Return how to start the server `mlflow` or `prefect` at the address in the settings."""
    server, address = SERVERS[name](settings), getattr(settings, f"{name}_url")
    return ProcessSpec(
        name=name,
        command=server.command,
        environment=child_environment(settings, **server.environment),
        ready=lambda: is_responding(address + READY_PATHS[name]),
        ready_within_seconds=_FIRST_START_SECONDS,
    )
