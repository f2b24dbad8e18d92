"""Flow runner: `python -m pipelines` serves the flows to the Prefect server at `CARDWATCH_PREFECT_URL`.

Prefect reads its settings on import, so this process replaces itself by `pipelines.runner.serve` with the settings in
its environment.
"""

from __future__ import annotations

import os
import sys

from adapters.prefect import PrefectAccess
from adapters.runtime.process import exit_on_error
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.errors import Misconfigured


def main() -> None:
    """Replace this process by the runner. The process id stays the same."""
    with exit_on_error():
        settings = read_settings()
        command = [sys.executable, "-m", "pipelines.runner.serve"]
        os.execve(sys.executable, command, child_environment(settings, **prefect_environment(settings)))  # noqa: S606


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables of Prefect's client. Raises `Misconfigured` without the address of a server."""
    if not settings.prefect_url:
        raise Misconfigured("CARDWATCH_PREFECT_URL is not set: flows need the address of a Prefect server")
    access = PrefectAccess.to(settings.prefect_url)
    login = {"PREFECT_API_AUTH_STRING": access.login} if access.login else {}
    return {
        **login,
        "PREFECT_API_URL": access.url,
        "PREFECT_HOME": str((settings.home / "prefect-runner").absolute()),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "pipelines.flows,pipelines.steps",  # so that the server has the logs of runs
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


if __name__ == "__main__":
    main()
