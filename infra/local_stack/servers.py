"""The MLflow and Prefect servers as processes of the local stack, and their readiness checks."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Final

import httpx

from adapters.model_registry.mlflow_access import MlflowAccess
from adapters.prefect import PrefectAccess
from adapters.runtime.addresses import plain, split_userinfo
from adapters.runtime.settings import Settings, child_environment
from infra.images.servers import SERVERS
from infra.local_stack.supervisor import ProcessSpec

READY_PATHS: Final = {"mlflow": "/health", "prefect": "/api/health"}

_FIRST_START_SECONDS: Final = 180.0
"""The first start creates a database, which takes most of a minute on a loaded machine."""


def is_responding(url: str, name: str = "") -> bool:
    """Whether `GET url` succeeds, with the login of the server `name`."""
    return unready_reason(url, name) is None


def unready_reason(url: str, name: str = "") -> str | None:
    """Return why `GET url` does not succeed, from the response if it gives a reason; None if it succeeds.

    `name` is that of a process; requests to `mlflow` and `prefect` hold the login of their clients.
    """
    try:
        response = _client().get(split_userinfo(url).url, headers=_login(name, url))
    except httpx.HTTPError:
        return "it does not answer yet"
    if response.is_success:
        return None
    try:
        body = response.json()
        return str(body.get("reason") or body["error"])
    except (ValueError, KeyError, AttributeError):
        return f"it answers {response.status_code} {HTTPStatus(response.status_code).phrase}"


def _login(name: str, url: str) -> dict[str, str]:
    match name:
        case "mlflow":
            return MlflowAccess.to(url).headers()
        case "prefect":
            return PrefectAccess.to(url).headers()
        case _:
            return {}


@cache
def _client() -> httpx.Client:
    """Return the shared client; creating one costs 20 ms, and readiness is polled several times a second."""
    return httpx.Client(timeout=2.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


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
