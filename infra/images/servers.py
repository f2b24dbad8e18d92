"""Start commands of the MLflow and Prefect servers, for the local stack and for their images.

`python -m infra.images.servers mlflow|prefect` waits for the server's database, because the servers exit without it,
and then replaces itself by the server at the address of the settings.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from adapters.runtime.addresses import plain, split_userinfo, without_userinfo
from adapters.runtime.logs import set_up_logging
from adapters.runtime.process import exit_on_error
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.errors import Misconfigured, Unavailable
from infra.images.database_login import log_in

_RETRY_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class ServerCommand(NamedTuple):
    """Command of a server, and its environment variables beside those of the settings."""

    command: list[str]
    environment: dict[str, str]


def mlflow_server(settings: Settings) -> ServerCommand:
    """Return the tracking server and registry at `settings.mlflow_url`; clients get artifacts through it, not by path.

    One worker suffices for a few requests per second; each further one needs the same memory.
    """
    folder = _created(settings.home.absolute() / "mlflow")
    database = _database_url(settings, "postgresql+psycopg") or f"sqlite:///{folder / 'mlflow.db'}"
    name = urlsplit(split_userinfo(settings.mlflow_url).url).netloc
    return ServerCommand(
        command=[
            sys.executable, "-m", "mlflow", "server", *_listen_options(settings, settings.mlflow_url), "--workers", "1",
            "--artifacts-destination", str(folder / "artifacts"),
            "--uvicorn-opts", "--log-level warning",  # otherwise a line per request
        ],
        environment={
            # Not an argument: it may contain a password, and every process of the machine can read arguments.
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"localhost:*,127.0.0.1:*,{name}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            # Saves nine processes for the evaluation of language models.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )  # fmt: skip


def prefect_server(settings: Settings) -> ServerCommand:
    """Return the Prefect server at `settings.prefect_url`, without background services that our flows do not use."""
    folder = _created(settings.home.absolute() / "prefect")
    unused = ("SCHEDULER", "LATE_RUNS", "PAUSE_EXPIRATIONS", "TRIGGERS", "FOREMAN", "CANCELLATION_CLEANUP")
    environment = {
        **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in unused},
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"{settings.prefect_url}/api",
        # The browser's path to the API. The pages are written at the start, into a folder outside of the image.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "pages"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    if database := _database_url(settings, "postgresql+asyncpg"):
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] = database
    listening = _listen_options(settings, settings.prefect_url)
    return ServerCommand(
        [sys.executable, "-m", "prefect", "server", "start", *listening, "--analytics-off"], environment
    )


SERVERS: Final[dict[str, Callable[[Settings], ServerCommand]]] = {"mlflow": mlflow_server, "prefect": prefect_server}


def main() -> None:
    """Replace this process by the server, which then receives its signals and gives its exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.images.servers", description=__doc__)
    parser.add_argument("name", choices=sorted(SERVERS))
    name = parser.parse_args().name
    with exit_on_error():
        settings = read_settings()
        set_up_logging(settings, name)
        server = SERVERS[name](settings)
        _await_database(settings, name)
        environment = child_environment(settings, **server.environment)
        os.execve(server.command[0], server.command, environment)  # noqa: S606 (no shell is what we want)


def _await_database(settings: Settings, name: str) -> None:
    """Wait until the server can log in to its database. Raises `Misconfigured` if the database refuses the login."""
    if not settings.database_url:
        return
    reported = False

    def connect() -> bool:
        nonlocal reported
        try:
            log_in(settings, name)
        except Unavailable as error:
            if not reported:
                log.warning("waiting: %s", error)
            reported = True
            return False
        return True

    poll(connect, timeout_seconds=inf, poll_seconds=_RETRY_SECONDS)


def _database_url(settings: Settings, scheme: str) -> str:
    """Return the database's URL with the driver of this server, empty if the settings have none."""
    return settings.database_url and scheme + plain(settings.database_url).removeprefix("postgresql")


def _listen_options(settings: Settings, url: str) -> list[str]:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise Misconfigured(f"{without_userinfo(url)!r} must name a host and a port, on which this server listens")
    return ["--host", settings.bind or parts.hostname, "--port", str(parts.port)]


def _created(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"cannot write to {folder.parent}: {error}") from error
    return folder


if __name__ == "__main__":
    main()
