"""Prefect's task as all our flows use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE

P = ParamSpec("P")
R = TypeVar("R")


def step(function: Callable[P, R]) -> Callable[P, R]:
    """A task that Prefect shows and logs. Nothing is cached: hashing a training set costs more than making it."""
    return cast(Callable[P, R], task(function, cache_policy=NO_CACHE))
