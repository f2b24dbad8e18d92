"""Serves the flows: each run is a process of its own, started within a second of being asked for.

It waits for a Prefect server that is not there, and serves anew whenever one comes back, with or without its memory. A
run that is in progress outlives a server that is away for a minute: Prefect's client asks again for so long, here and
in the run's process. After some three minutes Prefect's runner gives up, and the run with it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import httpx
from prefect import Flow
from prefect.deployments.runner import EntrypointType
from prefect.exceptions import PrefectException
from prefect.runner import Runner

from adapters.prefect import PrefectDeployments
from adapters.runtime.health import Health, exposed
from adapters.runtime.logs import set_up_logging
from adapters.runtime.process import one_line_errors
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import OrchestratorUnavailable
from pipelines.bootstrap import bootstrap
from pipelines.metrics import FlowRunMetrics
from pipelines.retrain import retrain
from pipelines.run_watch import RunWatch

POLL_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 2.0
DEPLOYMENT: Final = "local"

Flows = Sequence[Flow[..., Any]]
FLOWS: Final[Flows] = (bootstrap, retrain)

log = logging.getLogger("pipelines.runner")  # also when it is run as __main__


async def serve(settings: Settings, flows: Flows = FLOWS) -> None:
    """Serve `NAME/local` for each flow, one run at a time, until SIGTERM or SIGINT; there must be one such process."""
    health = Health()
    with exposed(settings, health), closing(PrefectDeployments(settings.prefect_url)) as server:
        watch = RunWatch(server, [f"{flow.name}/{DEPLOYMENT}" for flow in flows], health, FlowRunMetrics())
        working = asyncio.create_task(_work(flows, watch))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        with suppress(asyncio.CancelledError):
            await working


async def _work(flows: Flows, watch: RunWatch) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch.keep_looking())
        tasks.create_task(_keep_serving(flows, watch))


async def _keep_serving(flows: Flows, watch: RunWatch) -> None:
    said = ""
    while True:
        try:
            await _serve_once(flows, watch)
            said = ""
        except OrchestratorUnavailable as error:
            watch.serves_no_longer(str(error))
            if str(error) != said:
                log.warning("registering the flows, again and again every %g s: %s", RETRY_SECONDS, error)
            said = str(error)
        await asyncio.sleep(RETRY_SECONDS)


async def _serve_once(flows: Flows, watch: RunWatch) -> None:
    """Serve until `watch` says that it is over; raises `OrchestratorUnavailable` if Prefect's runner gives up first.

    However it ends, no run's process is left.
    """
    await asyncio.to_thread(watch.give_up_all)
    runner = _Runner(name="cardwatch", query_seconds=POLL_SECONDS, limit=1, pause_on_shutdown=False)
    with _unavailable():
        for flow in flows:
            deployment = await flow.ato_deployment(DEPLOYMENT, entrypoint_type=EntrypointType.MODULE_PATH)
            await runner.aadd_deployment(deployment)
    running = asyncio.create_task(runner.start())
    try:
        while not (runner.started or running.done()):
            await asyncio.sleep(0.02)
        if runner.started:
            watch.serves(runner)
            log.info("serving %s", ", ".join(flow.name for flow in flows))
        while not (watch.is_over or running.done()):
            await asyncio.wait([running], timeout=POLL_SECONDS)
    finally:
        watch.serves_no_longer()
        running.cancel()
        await asyncio.wait([running])
    if not running.cancelled() and (error := running.exception()) is not None:
        raise OrchestratorUnavailable(f"Prefect's runner gave up: {_innermost(error)}") from error


class _Runner(Runner):  # type: ignore[misc]
    def handle_sigterm(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing: the signal reaches the loop's handler as well, and Prefect's would leave in the middle of it."""


@contextmanager
def _unavailable() -> Iterator[None]:
    """Whatever Prefect raises while it registers flows is the server's doing, and passes."""
    try:
        yield
    except (PrefectException, httpx.HTTPError, RuntimeError, ValueError) as error:
        raise OrchestratorUnavailable(f"the flows cannot be registered: {type(error).__name__} {error}") from error


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    with one_line_errors():
        chosen = read_settings()
        set_up_logging(chosen, "pipelines")
        asyncio.run(serve(chosen))
