"""A flow that waits until a file is there, and its runner, which is the real one; not a test."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from pathlib import Path

from prefect import flow

from adapters.runtime.logs import set_up_logging
from adapters.runtime.settings import read_settings
from pipelines.runner import serve
from pipelines.steps import begin_run, insist_on_being_wanted


@flow(name="wait")
def wait(until: str, published: str) -> None:
    """Wait for the file `until`, then make `published`, as a run makes its model known."""
    settings = begin_run()
    while not Path(until).exists():
        time.sleep(0.05)
    insist_on_being_wanted(settings)
    Path(published).touch()


if __name__ == "__main__":
    chosen = read_settings()
    set_up_logging(chosen, "pipelines")
    asyncio.run(serve(chosen, [import_module("waiting_flow").wait]))  # by the name that a run's process imports
