"""Prefect's task and run as all our flows use them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final, ParamSpec, TypeVar, cast

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from adapters.prefect import PrefectDeployments
from adapters.runtime.logs import set_up_logging
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import CardwatchError, OrchestratorUnavailable

P = ParamSpec("P")
R = TypeVar("R")

RETRY_SECONDS: Final = 2.0
TIMEOUT_SECONDS: Final = 60.0
"""As long as Prefect's client asks again when a run has ended."""


def step(function: Callable[P, R]) -> Callable[P, R]:
    """A task that Prefect shows and logs. Nothing is cached: hashing a training set costs more than making it."""
    return cast(Callable[P, R], task(function, cache_policy=NO_CACHE))


def begin_run() -> Settings:
    """The settings of this run's process, whose log lines have our form from now on."""
    settings = read_settings()
    set_up_logging(settings, "pipelines")
    return settings


def insist_on_being_wanted(settings: Settings) -> None:
    """Raise `CardwatchError` if this run has been given up or cancelled: another one may be doing the same by now.

    The process of a run outlives a flow runner that is killed; what such a run has made must not be published.
    """
    patiently = Retrying(
        retry=retry_if_exception_type(OrchestratorUnavailable),
        wait=wait_fixed(RETRY_SECONDS),
        stop=stop_after_delay(TIMEOUT_SECONDS),
        reraise=True,
    )
    with closing(PrefectDeployments(settings.prefect_url)) as server:
        state = patiently(server.state, runtime.flow_run.id)
    if state.kind != "RUNNING":
        raise CardwatchError(f"this run is {state.name} by now, so nothing that it has made is published")
