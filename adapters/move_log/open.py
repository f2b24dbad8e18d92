"""The ladder of the configured registry, with its move log."""

from __future__ import annotations

from adapters.model_registry.ladder_aliases import LadderAliases
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.move_log.sql import SqlMoveLog
from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import Settings
from cardwatch.ladder.mover import Mover


def open_ladder(settings: Settings, registry: MlflowRegistry) -> Mover:
    """Return the ladder of a registry. Its log is in the archive's database on a server, else in `settings.home`."""
    return Mover(SqlMoveLog(settings.home, settings.index_url), LadderAliases(registry), epoch_ms)
