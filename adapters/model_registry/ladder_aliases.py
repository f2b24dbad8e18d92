"""The ladder as aliases of MLflow: `champion`, `previous`, `shadow`, `canary`, and the canary's share in a tag.

MLflow changes one alias at a time and has no compare-and-swap, so the aliases follow the move log and decide nothing.
The order of the writes keeps what a scoring process reads in between harmless: the champion first; a canary's share
before its alias; a canary that is the champion already counts as none.
"""

from __future__ import annotations

from typing import Final

from adapters.model_registry.mlflow_registry import MlflowRegistry
from cardwatch.ladder.state import LadderState
from cardwatch.registry import CANARY, CHAMPION, PREVIOUS, SHADOW, ModelVersion, ServedAliases

_ALIASES: Final = (CHAMPION, SHADOW, CANARY, PREVIOUS)
"""In the order in which they are written."""


class LadderAliases:
    """A `cardwatch.ladder.mover.Projection` on an MLflow server."""

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry = registry

    def version(self, version: str) -> ModelVersion | None:
        """Return a registered version by its number, None if it does not exist."""
        return self._registry.version(version)

    def adopted(self) -> ModelVersion | None:
        """Return the version under `champion`, None if there is none."""
        return self._registry.alias(CHAMPION)

    def shows(self, state: LadderState) -> bool:
        """Return whether the aliases are those of this state."""
        return _shown(self._registry.aliases()) == _wanted(state)

    def project(self, state: LadderState) -> None:
        """Set and remove aliases where they are not those of this state."""
        shown, (wanted, share) = _shown(self._registry.aliases()), _wanted(state)
        if (canary := wanted.get(CANARY)) is not None and (canary, share) != (shown[0].get(CANARY), shown[1]):
            if canary != shown[0].get(CANARY):
                self._registry.delete_alias(CANARY)
            if share is not None:
                self._registry.set_canary_share(share)
        for alias in _ALIASES:
            version = wanted.get(alias)
            if version is None and alias in shown[0]:
                self._registry.delete_alias(alias)
            elif version is not None and version != shown[0].get(alias):
                self._registry.set_alias(alias, version)


_Shown = tuple[dict[str, str], float | None]
"""The version of each of these aliases, and the canary's share if there is a canary."""


def _shown(aliases: ServedAliases) -> _Shown:
    known = {name: version for name, version in aliases.versions.items() if name in _ALIASES}
    return known, aliases.canary_share if CANARY in known else None


def _wanted(state: LadderState) -> _Shown:
    placed = {CHAMPION: state.champion, SHADOW: state.shadow, CANARY: state.canary, PREVIOUS: state.previous}
    return {alias: one.version for alias, one in placed.items() if one is not None}, state.canary_share
