"""The flow runner: `python -m pipelines` serves our flows to the Prefect server at `CARDWATCH_PREFECT_URL`.

Prefect reads its settings when it is imported, so this process becomes `pipelines.runner` in the right environment.
"""

from __future__ import annotations

import os
import sys

from adapters.runtime.process import one_line_errors
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.errors import Misconfigured


def main() -> None:
    """Replace this process, keeping its id, by the runner."""
    with one_line_errors():
        settings = read_settings()
        command = [sys.executable, "-m", "pipelines.runner"]
        os.execve(sys.executable, command, child_environment(settings, **prefect_environment(settings)))  # noqa: S606


def prefect_environment(settings: Settings) -> dict[str, str]:
    """What Prefect's client must be told; raises `Misconfigured` without a server's address."""
    if not settings.prefect_url:
        raise Misconfigured("CARDWATCH_PREFECT_URL is not set: flows need the address of a Prefect server")
    return {
        "PREFECT_API_URL": settings.prefect_url.rstrip("/").removesuffix("/api") + "/api",
        "PREFECT_HOME": str((settings.home / "prefect-runner").absolute()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


if __name__ == "__main__":
    main()
