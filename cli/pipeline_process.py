"""Runs a pipeline in a separate process, for commands that only start one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from adapters.runtime.settings import child_environment, read_settings


def run_pipeline(module: str, arguments: Mapping[str, object | None]) -> None:
    """Run `python -m pipelines.MODULE --name value ...`, leaving out what is None, and end as it ends."""
    given = [part for name, value in arguments.items() if value is not None for part in (f"--{name}", str(value))]
    with subprocess.Popen(
        [sys.executable, "-m", f"pipelines.{module}", *given], env=child_environment(read_settings())
    ) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            status = process.wait()
    if status:
        sys.exit(status)
