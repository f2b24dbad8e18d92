"""`cardwatch bootstrap`: have the first champion trained, once there is history to train it on."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from datetime import date
from typing import Final
from uuid import uuid4

import click

from adapters.kafka.progress import ProgressReader
from adapters.kafka.topics import ensure_topics
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.prefect import PrefectDeployments
from adapters.runtime.process import Process, run_service
from adapters.scoring.client import ServedVersionClient
from cardwatch.errors import CardwatchError, ScoringUnavailable, Unavailable
from cardwatch.progress import Bootstrapped, DayArchived
from cli.finite_range import FiniteRange

DEPLOYMENT: Final = "bootstrap/local"
MIN_DAYS: Final = 26
"""14 to train on, 7 to judge by, 5 for the labels to mature: the flow refuses less."""
POLL_SECONDS: Final = 0.5

log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--history-days",
    default=30,
    type=click.IntRange(min=MIN_DAYS),
    help="Train as soon as this many days are archived.",
)
@click.option(
    "--wait-seconds",
    default=900.0,
    type=FiniteRange(min=1.0),
    help="How long to wait for history, Prefect and the scoring service, in all.",
)
def bootstrap(history_days: int, wait_seconds: float) -> None:
    """Wait for history, train the first champion, and wait until it is served.

    It may be started before the services that it needs, repeatedly and concurrently: an existing champion is kept.
    """
    deadline, key = time.monotonic() + wait_seconds, uuid4().hex
    with run_service("bootstrap") as process:
        process.keep_working(lambda: work(process, history_days, deadline, key))
        process.end_as_stopped()


def work(process: Process, history_days: int, deadline: float, key: str) -> None:
    """Each step raises what is retriable until its time is over, and is done again from the beginning."""
    settings = process.settings
    try:
        with closing(MlflowRegistry(settings.mlflow_url)) as registry:
            registry.aliases()  # a run that finds no registry would have folded all of history for nothing
        ensure_topics(settings.kafka, partitions=settings.partitions)
        if not is_done(process, history_days, deadline):
            _train(process, deadline, key)
        if process.stopping.is_set():
            return
        with closing(ServedVersionClient(settings)) as served:
            version = served.version()
        if version is None:
            raise ScoringUnavailable(f"the scoring service at {settings.scoring_url} serves no champion yet")
        log.info("version %s is champion and served", version)
    except Unavailable as error:
        if time.monotonic() > deadline:
            raise CardwatchError(f"waited in vain: {error}") from error
        raise


def is_done(process: Process, history_days: int, deadline: float) -> bool:
    """Follow the topic `progress` until it says that there is a champion, or that enough days are archived for one."""
    archived: set[date] = set()
    said = ""
    with closing(ProgressReader(process.settings.kafka)) as progress:
        while not process.stopping.is_set():
            match None if progress.caught_up() else progress.poll(POLL_SECONDS):
                case Bootstrapped():
                    return True
                case DayArchived(day=day):
                    archived.add(day)
                case None if len(archived) >= history_days:
                    return False
                case None:
                    why = f"{len(archived)} of {history_days} days of history are archived"
                    process.health.waiting(why)
                    if why != said:
                        log.info("waiting: %s", why)
                        said = why
                    if time.monotonic() > deadline:
                        raise CardwatchError(f"only {why}")
                    process.stopping.wait(POLL_SECONDS)
                case _:
                    pass
    return True  # asked to stop: train nothing


def _train(process: Process, deadline: float, key: str) -> None:
    """Run the flow once for `key`, across outages of the Prefect server, and wait until it has ended."""
    with closing(PrefectDeployments(process.settings.prefect_url)) as deployments:
        run_id = deployments.run(DEPLOYMENT, {}, key=key)
        log.info("%s: run %s has been asked for", DEPLOYMENT, run_id)
        state = seen = None
        while state is None or not state.ended:
            state = deployments.state(run_id)
            if state != seen:
                log.info("the run is %s", state.name)
                process.health.waiting(f"the run {run_id} of {DEPLOYMENT} is {state.name}")
            seen = state
            if time.monotonic() > deadline:
                raise CardwatchError(f"the run {run_id} is still {state.name} when the time to wait is over")
            if process.stopping.wait(POLL_SECONDS):
                return
        deployments.wait(run_id, timeout_seconds=1.0)  # it has ended: raises if it failed
