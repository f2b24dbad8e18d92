"""The MLflow and the Prefect server: how each is started, embedded or in a container of its own.

`python -m infra.images.servers mlflow|prefect` becomes that server, at the port of its address in the settings, once
its
database can be reached: a server that starts before it would only die of it.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from adapters.runtime.logs import set_up_logging
from adapters.runtime.process import one_line_errors
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.errors import Misconfigured

_CONNECT_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 1.0
_POSTGRES_PORT: Final = 5432

log = logging.getLogger(__name__)


class Server(NamedTuple):
    """A process to be started: its command and the variables that it needs beside those of the settings."""

    command: list[str]
    environment: dict[str, str]


def mlflow_server(settings: Settings) -> Server:
    """The tracking server and registry at `settings.mlflow_url`; clients get artifacts through it, never by path.

    One worker: four would cost four times the memory for a handful of questions a second.
    """
    folder = _made(settings.home.absolute() / "mlflow")
    database = _database(settings, "postgresql+psycopg") or f"sqlite:///{folder / 'mlflow.db'}"
    name = urlsplit(settings.mlflow_url).netloc
    return Server(
        command=[
            sys.executable, "-m", "mlflow", "server", *_listening(settings, settings.mlflow_url), "--workers", "1",
            "--artifacts-destination", str(folder / "artifacts"),
            "--uvicorn-opts", "--log-level warning",  # else a line for each question that scoring asks
        ],
        environment={
            # Not an argument: it may hold a password, and arguments can be read by every process of the machine.
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"localhost:*,127.0.0.1:*,{name}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            # Nine more processes, for evaluating language models.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )  # fmt: skip


def prefect_server(settings: Settings) -> Server:
    """The Prefect server at `settings.prefect_url`, without the background services that our flows do not use."""
    folder = _made(settings.home.absolute() / "prefect")
    unused = ("SCHEDULER", "LATE_RUNS", "PAUSE_EXPIRATIONS", "TRIGGERS", "FOREMAN", "CANCELLATION_CLEANUP")
    environment = {
        **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in unused},
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"{settings.prefect_url}/api",
        # Where its pages, in somebody's browser, find it; they are written at the start, and not into an image.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "pages"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    if database := _database(settings, "postgresql+asyncpg"):
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] = database
    listening = _listening(settings, settings.prefect_url)
    return Server([sys.executable, "-m", "prefect", "server", "start", *listening, "--analytics-off"], environment)


SERVERS: Final[dict[str, Callable[[Settings], Server]]] = {"mlflow": mlflow_server, "prefect": prefect_server}


def main() -> None:
    """Replace this process by the server, so that its signals and status are the server's."""
    parser = argparse.ArgumentParser(prog="python -m infra.images.servers", description=__doc__)
    parser.add_argument("name", choices=sorted(SERVERS))
    name = parser.parse_args().name
    with one_line_errors():
        settings = read_settings()
        set_up_logging(settings, name)
        server = SERVERS[name](settings)
        _await_database(settings)
        environment = child_environment(settings, **server.environment)
        os.execve(server.command[0], server.command, environment)  # noqa: S606 (no shell is what we want)


def _await_database(settings: Settings) -> None:
    if not settings.database_url:
        return
    parts = urlsplit(settings.database_url)
    place = (parts.hostname or "", parts.port or _POSTGRES_PORT)
    said = False
    while True:
        try:
            socket.create_connection(place, _CONNECT_SECONDS).close()
            return
        except OSError as error:
            if not said:
                log.warning("waiting for the database at %s:%d: %s", *place, error)
            said = True
        time.sleep(_RETRY_SECONDS)


def _database(settings: Settings, scheme: str) -> str:
    """The database's address with the driver that this server uses."""
    return settings.database_url and scheme + settings.database_url.removeprefix("postgresql")


def _listening(settings: Settings, url: str) -> list[str]:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise Misconfigured(f"{url!r} must name a host and a port: it is where this server is to be found")
    return ["--host", settings.bind or parts.hostname, "--port", str(parts.port)]


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"cannot write to {folder.parent}: {error}") from error
    return folder


if __name__ == "__main__":
    main()
