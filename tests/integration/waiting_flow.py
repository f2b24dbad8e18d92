"""A flow that waits for a file, served by the production runner. This module is a helper of test_prefect_flows."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from pathlib import Path

from prefect import flow

from adapters.runtime.logs import set_up_logging
from adapters.runtime.settings import read_settings
from pipelines.flows.tasks import begin_run, require_live_run
from pipelines.runner.serve import serve


@flow(name="wait")
def wait(until: str, published: str) -> None:
    """Wait for the file `until`, then create `published`, as a run publishes its model."""
    settings = begin_run()
    while not Path(until).exists():
        time.sleep(0.05)
    require_live_run(settings)
    Path(published).touch()


if __name__ == "__main__":
    chosen = read_settings()
    set_up_logging(chosen, "pipelines")
    asyncio.run(serve(chosen, [import_module("waiting_flow").wait]))  # the module name that a run's process imports
