"""Flow runner: registers the flows with the Prefect server, and executes each requested run in a process.

A run starts within a second of its request. If the server is down, the runner waits; when the server is back, with or
without its database, the flows are registered again. A run in progress survives an outage of one minute, because
Prefect's client retries that long, here and in the run's process. After about three minutes Prefect's runner stops, and
its runs end.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any, Final

import httpx
from prefect import Flow
from prefect.deployments.runner import EntrypointType
from prefect.exceptions import PrefectException
from prefect.runner import Runner

from adapters.prefect import PrefectDeployments
from adapters.runtime.addresses import without_userinfo
from adapters.runtime.health import Health, serve_health
from adapters.runtime.logs import set_up_logging
from adapters.runtime.process import exit_on_error
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import OrchestratorUnavailable
from pipelines.flows.bootstrap import bootstrap
from pipelines.flows.retrain import retrain
from pipelines.runner.metrics import FlowRunMetrics
from pipelines.runner.run_monitor import RunMonitor

POLL_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 2.0
DEPLOYMENT: Final = "local"

Flows = Sequence[Flow[..., Any]]
FLOWS: Final[Flows] = (bootstrap, retrain)

log = logging.getLogger("pipelines.runner")  # also in the process that runs this module as __main__


async def serve(settings: Settings, flows: Flows = FLOWS) -> None:
    """Serve `NAME/local` for each flow, one run at a time, until SIGTERM or SIGINT. Only one process may do so."""
    health = Health()
    with serve_health(settings, health), closing(PrefectDeployments(settings.prefect_url)) as server:
        names = [f"{flow.name}/{DEPLOYMENT}" for flow in flows]
        working = asyncio.create_task(_work(flows, RunMonitor(server, names, health, FlowRunMetrics())))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        with suppress(asyncio.CancelledError):
            await working


async def _work(flows: Flows, monitor: RunMonitor) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(monitor.keep_polling())
        tasks.create_task(_keep_serving(flows, monitor))


async def _keep_serving(flows: Flows, monitor: RunMonitor) -> None:
    logged = ""
    while True:
        try:
            await _serve_once(flows, monitor)
            logged = ""
        except OrchestratorUnavailable as error:
            monitor.runner_stopped(str(error))
            if str(error) != logged:
                log.warning("registering the flows: %s; retrying every %g s", error, RETRY_SECONDS)
            logged = str(error)
        await asyncio.sleep(RETRY_SECONDS)


async def _serve_once(flows: Flows, monitor: RunMonitor) -> None:
    """Serve until `monitor.needs_restart`. Raises `OrchestratorUnavailable` if Prefect's runner stops before that.

    The processes of all runs have ended when this function returns or raises.
    """
    await asyncio.to_thread(monitor.crash_active_runs)
    runner = _Runner(name="cardwatch", query_seconds=POLL_SECONDS, limit=1, pause_on_shutdown=False)
    try:
        for flow in flows:
            deployment = await flow.ato_deployment(DEPLOYMENT, entrypoint_type=EntrypointType.MODULE_PATH)
            await runner.aadd_deployment(deployment)
    except (PrefectException, httpx.HTTPError, RuntimeError, ValueError) as error:  # all are transient
        reason = f"{type(error).__name__} {without_userinfo(str(error))}"
        raise OrchestratorUnavailable(f"the flows cannot be registered: {reason}") from error
    running = asyncio.create_task(runner.start())
    try:
        while not (runner.started or running.done()):
            await asyncio.sleep(0.02)
        if runner.started:
            monitor.runner_started(runner.has_slots_available)
            log.info("serving %s", ", ".join(flow.name for flow in flows))
        while not (monitor.needs_restart or running.done()):
            await asyncio.wait([running], timeout=POLL_SECONDS)
    finally:
        monitor.runner_stopped()
        running.cancel()
        await asyncio.wait([running])
    if not running.cancelled() and (failure := running.exception()) is not None:
        raise OrchestratorUnavailable(f"Prefect's runner stopped: {_innermost(failure)}") from failure


class _Runner(Runner):  # type: ignore[misc]
    def handle_sigterm(self, *_args: Any, **_kwargs: Any) -> None:
        """Ignore the signal. The handler of the event loop shuts down; Prefect's handler would interrupt it."""


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    with exit_on_error():
        process_settings = read_settings()
        set_up_logging(process_settings, "pipelines")
        asyncio.run(serve(process_settings))
