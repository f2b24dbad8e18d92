"""The ladder of the running stack, or of the registry that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.move_log.open import open_ladder
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import Misconfigured
from cardwatch.ladder.mover import Mover
from cli.records.broker import stack_settings


class OpenedLadder(NamedTuple):
    """A ladder with its registry, and the settings that name both."""

    settings: Settings
    registry: MlflowRegistry
    mover: Mover


@contextmanager
def opened_ladder() -> Iterator[OpenedLadder]:
    """Open the ladder of CARDWATCH_MLFLOW_URL, else of the running stack. Raises `Misconfigured` without either."""
    settings = read_settings()
    if not settings.mlflow_url:
        settings = stack_settings()
    if not settings.mlflow_url:
        raise Misconfigured("CARDWATCH_MLFLOW_URL is empty: name the registry, or start a stack with `cardwatch up`")
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        yield OpenedLadder(settings, registry, open_ladder(settings, registry))
