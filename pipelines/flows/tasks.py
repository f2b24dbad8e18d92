"""Prefect tasks and flow runs, as both flows use them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final, ParamSpec, TypeVar, cast

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE

from adapters.prefect import PrefectDeployments
from adapters.runtime.logs import set_up_logging
from adapters.runtime.retry import RETRY_SECONDS, retry
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import CardwatchError

P = ParamSpec("P")
R = TypeVar("R")

LIVENESS_TIMEOUT_SECONDS: Final = 60.0
"""Maximum time to reach the Prefect server in the liveness check. Prefect's client retries equally long after a run."""


def as_task(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as a Prefect task. Nothing is cached: hashing a training set is slower than making it."""
    return cast(Callable[P, R], task(function, cache_policy=NO_CACHE))


def begin_run() -> Settings:
    """Set up logging in the process of a flow run, and return its settings."""
    settings = read_settings()
    set_up_logging(settings, "pipelines")
    return settings


def require_live_run(settings: Settings) -> None:
    """Raise `CardwatchError` unless the Prefect server has this run in the state RUNNING.

    The process of a run outlives a killed flow runner. Such an orphaned run is marked as crashed and may have been
    started again, so it must not publish its results.
    """
    with closing(PrefectDeployments(settings.prefect_url)) as server:
        state = retry(
            lambda: server.state(runtime.flow_run.id),
            timeout_seconds=LIVENESS_TIMEOUT_SECONDS,
            retry_seconds=RETRY_SECONDS,
        )
    if state.kind != "RUNNING":
        raise CardwatchError(f"this run is {state.name} on the Prefect server, so its results are not published")
