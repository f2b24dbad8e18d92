"""Serves the flows: each run is a process of its own, started within a second of being asked for."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Final

from prefect.deployments.runner import EntrypointType
from prefect.runner import Runner

from adapters.health import Health, exposed
from adapters.logs import set_up_logging
from adapters.settings import Settings, read_settings
from pipelines.bootstrap import bootstrap
from pipelines.retrain import retrain

POLL_SECONDS: Final = 1.0
DEPLOYMENT: Final = "local"


async def serve(settings: Settings) -> None:
    """Serve `bootstrap/local` and `retrain/local`, one run at a time, until SIGTERM or SIGINT."""
    runner = Runner(name="cardwatch", query_seconds=POLL_SECONDS, limit=1, pause_on_shutdown=False)
    for flow in (bootstrap, retrain):
        deployment = await flow.ato_deployment(DEPLOYMENT, entrypoint_type=EntrypointType.MODULE_PATH)
        await runner.aadd_deployment(deployment)
    serving = asyncio.create_task(runner.start())
    while not (runner.started or serving.done()):
        await asyncio.sleep(0.02)
    for number in (signal.SIGTERM, signal.SIGINT):  # in place of the runner's own, which loses a coroutine on its way
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    health = Health()
    health.ready()
    with exposed(settings, health), suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    chosen = read_settings()
    set_up_logging(chosen, "pipelines")
    asyncio.run(serve(chosen))
