"""What `ModelHolder` needs of whoever has the models."""

from __future__ import annotations

from typing import Protocol

from adapters.model_registry.mlflow_registry import ModelVersion
from cardwatch.errors import NoChampion


class ModelSource(Protocol):
    """Aliases, versions and files: `adapters.model_registry.mlflow_registry.ModelRegistry` and
    `adapters.model_registry.model_folder.ModelFolder`.

    Every call raises `RegistryUnavailable` if the source does not answer, and `ModelRefused` for what must not be used.
    """

    def aliases(self) -> dict[str, str]:
        """Every alias and the number of its version; empty if there is no model."""
        ...

    def version(self, version: str, /) -> ModelVersion | None:
        """A version by its number, None if there is none any more."""
        ...

    def files(self, version: ModelVersion, /) -> dict[str, bytes]:
        """The version's files by name; raises `CorruptModel` if they do not have its digest."""
        ...

    def no_champion(self) -> NoChampion:
        """What to raise where there is no champion; the message says how to come by one."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
