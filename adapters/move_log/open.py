"""The ladder of the configured registry, with its move log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from adapters.model_registry.ladder_aliases import LadderAliases
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.move_log.sql import SqlMoveLog
from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import Settings
from cardwatch.errors import Misconfigured
from cardwatch.ladder.mover import Mover


class OpenedLadder(NamedTuple):
    """A ladder with its registry, and the settings that name both."""

    settings: Settings
    registry: MlflowRegistry
    mover: Mover


def open_ladder(settings: Settings, registry: MlflowRegistry) -> Mover:
    """Return the ladder of a registry. Its log is in the archive's database on a server, else in `settings.home`."""
    return Mover(SqlMoveLog(settings.home, settings.index_url), LadderAliases(registry), epoch_ms)


@contextmanager
def opened_ladder(settings: Settings) -> Iterator[OpenedLadder]:
    """Open the ladder of the settings' registry. Raises `Misconfigured` if they name none."""
    if not settings.mlflow_url:
        raise Misconfigured("CARDWATCH_MLFLOW_URL is empty: name the registry, or start a stack with `cardwatch up`")
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        yield OpenedLadder(settings, registry, open_ladder(settings, registry))
