"""Serves the flows: each run is a process of its own, started within a second of being asked for.

It waits for a Prefect server that is not there, and serves anew whenever one comes back, with or without its memory.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import closing, suppress
from typing import Final

import httpx
from prefect.deployments.runner import EntrypointType
from prefect.exceptions import PrefectException
from prefect.runner import Runner

from adapters.health import Health, exposed
from adapters.logs import set_up_logging
from adapters.prefect_api import PrefectDeployments
from adapters.settings import Settings, read_settings
from cardwatch.errors import OrchestratorUnavailable
from pipelines.bootstrap import bootstrap
from pipelines.metrics import Metrics
from pipelines.retrain import retrain

POLL_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 2.0
DEPLOYMENT: Final = "local"
FLOWS: Final = (bootstrap, retrain)

log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Serve `bootstrap/local` and `retrain/local`, one run at a time, until SIGTERM or SIGINT."""
    health, metrics = Health(), Metrics()
    with exposed(settings, health), closing(PrefectDeployments(settings.prefect_url)) as server:
        serving = asyncio.create_task(_serve_again_and_again(server, health, metrics))
        for number in (signal.SIGTERM, signal.SIGINT):  # in place of a runner's own, which loses a coroutine on its way
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        with suppress(asyncio.CancelledError):
            await serving


async def _serve_again_and_again(server: PrefectDeployments, health: Health, metrics: Metrics) -> None:
    while True:
        try:
            await _serve_once(server, health, metrics)
        except (OrchestratorUnavailable, PrefectException, httpx.HTTPError, SystemExit) as error:
            # A runner that has asked in vain a few times ends the process, with SystemExit.
            log.warning("serving the flows again in %g s: %s %s", LOOK_SECONDS, type(error).__name__, error)
            health.waiting(f"the Prefect server: {type(error).__name__} {error}")
        await asyncio.sleep(LOOK_SECONDS)


async def _serve_once(server: PrefectDeployments, health: Health, metrics: Metrics) -> None:
    """Serve until the server forgets our deployments, or the runner gives up."""
    await _give_up_orphans(server)
    runner = Runner(name="cardwatch", query_seconds=POLL_SECONDS, limit=1, pause_on_shutdown=False)
    for flow in FLOWS:
        deployment = await flow.ato_deployment(DEPLOYMENT, entrypoint_type=EntrypointType.MODULE_PATH)
        await runner.aadd_deployment(deployment)
    running = asyncio.create_task(runner.start())
    try:
        while not (runner.started or running.done()):
            await asyncio.sleep(0.02)
        while not running.done():
            if not await _look(server, health, metrics):
                log.warning("the Prefect server has forgotten our deployments: registering them again")
                return
            await asyncio.wait([running], timeout=LOOK_SECONDS)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _look(server: PrefectDeployments, health: Health, metrics: Metrics) -> bool:
    """Note how the server and the runs are; False if it does not know our deployments any more."""
    try:
        for flow in FLOWS:
            name = f"{flow.name}/{DEPLOYMENT}"
            if not await asyncio.to_thread(server.exists, name):
                return False
            metrics.saw(flow.name, await asyncio.to_thread(server.runs, name))
        health.ready()
    except OrchestratorUnavailable as error:
        health.waiting(str(error))
    return True


async def _give_up_orphans(server: PrefectDeployments) -> None:
    """End what an earlier runner had begun: there is one runner, so nobody else is at work on it.

    Whoever asked for such a run would wait for ever.
    """
    for flow in FLOWS:
        for run in await asyncio.to_thread(server.runs, f"{flow.name}/{DEPLOYMENT}"):
            if run.state.kind == "RUNNING":
                log.warning("run %s of %s was begun by a runner that is gone: crashed", run.run_id, flow.name)
                await asyncio.to_thread(server.crash, run.run_id, "the flow runner was started again")


if __name__ == "__main__":
    chosen = read_settings()
    set_up_logging(chosen, "pipelines")
    asyncio.run(serve(chosen))
