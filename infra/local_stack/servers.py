"""The MLflow and the Prefect server as parts of the local stack."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Final

import httpx

from adapters.runtime.settings import Settings, child_environment
from infra.images.servers import Server, mlflow_server, prefect_server
from infra.local_stack.supervisor import ProcessSpec

# A first start makes a database, which takes a loaded machine most of a minute.
_FIRST_START_SECONDS: Final = 180.0


def answers(url: str) -> bool:
    """Whether `GET url` is answered with success."""
    try:
        return _client().get(url).is_success
    except httpx.HTTPError:
        return False


def refusal(url: str) -> str | None:
    """Why `GET url` is not answered with success, in the words of whoever answers; None if it is."""
    try:
        answer = _client().get(url)
    except httpx.HTTPError:
        return "it does not answer yet"
    if answer.is_success:
        return None
    try:
        said = answer.json()
        return str(said.get("reason") or said["error"])
    except (ValueError, KeyError, AttributeError):
        return f"it answers {answer.status_code} {HTTPStatus(answer.status_code).phrase}"


@cache
def _client() -> httpx.Client:
    """One for all questions: to make one costs 20 ms, and readiness is asked many times a second."""
    return httpx.Client(timeout=2.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def mlflow_part(settings: Settings) -> ProcessSpec:
    """The tracking server and registry at `settings.mlflow_url`."""
    return _part("mlflow", settings, mlflow_server(settings), f"{settings.mlflow_url}/health")


def prefect_part(settings: Settings) -> ProcessSpec:
    """The Prefect server at `settings.prefect_url`."""
    return _part("prefect", settings, prefect_server(settings), f"{settings.prefect_url}/api/health")


def _part(name: str, settings: Settings, server: Server, question: str) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=server.command,
        environment=child_environment(settings, **server.environment),
        ready=lambda: answers(question),
        ready_within_seconds=_FIRST_START_SECONDS,
    )
