"""How to start the MLflow and the Prefect server of the local stack: SQLite, loopback, one worker, no telemetry."""

from __future__ import annotations

import sys
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import httpx

from adapters.settings import Settings, child_environment
from infra.local.supervisor import Part

# A first start makes a database, which takes a loaded machine most of a minute.
_FIRST_START_SECONDS: Final = 180.0


def answers(url: str) -> bool:
    """Whether `GET url` is answered with success."""
    try:
        return _client().get(url).is_success
    except httpx.HTTPError:
        return False


@cache
def _client() -> httpx.Client:
    """One for all questions: to make one costs 20 ms, and readiness is asked many times a second."""
    return httpx.Client(timeout=2.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def mlflow_part(settings: Settings) -> Part:
    """The tracking server and registry at `settings.mlflow_url`; clients get artifacts through it, never by path."""
    folder = settings.home.absolute() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return Part(
        name="mlflow",
        command=[
            sys.executable, "-m", "mlflow", "server", *_address(settings.mlflow_url), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
            "--artifacts-destination", str(folder / "artifacts"),
        ],
        environment=child_environment(
            settings,
            MLFLOW_DISABLE_TELEMETRY="true",
            DO_NOT_TRACK="1",
            # Nine more processes, for evaluating language models.
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        ),
        ready=lambda: answers(f"{settings.mlflow_url}/health"),
        ready_within_seconds=_FIRST_START_SECONDS,
    )  # fmt: skip


def prefect_part(settings: Settings) -> Part:
    """The Prefect server at `settings.prefect_url`, without the background services that our flows do not use."""
    folder = settings.home.absolute() / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    unused = ("SCHEDULER", "LATE_RUNS", "PAUSE_EXPIRATIONS", "TRIGGERS", "FOREMAN", "CANCELLATION_CLEANUP")
    return Part(
        name="prefect",
        command=[
            sys.executable, "-m", "prefect", "server", "start", *_address(settings.prefect_url), "--analytics-off",
        ],
        environment=child_environment(
            settings,
            **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in unused},
            PREFECT_HOME=str(folder),
            PREFECT_API_URL=f"{settings.prefect_url}/api",
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            PREFECT_SERVER_LOGGING_LEVEL="WARNING",
            DO_NOT_TRACK="1",
        ),
        ready=lambda: answers(f"{settings.prefect_url}/api/health"),
        ready_within_seconds=_FIRST_START_SECONDS,
    )  # fmt: skip


def _address(url: str) -> list[str]:
    parts = urlsplit(url)
    return ["--host", str(parts.hostname), "--port", str(parts.port)]
