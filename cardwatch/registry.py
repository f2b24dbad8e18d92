"""Registered models: versions, aliases and the ports of a registry, which MLflow, SageMaker and a folder implement."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from cardwatch.errors import NoChampion

MODEL: Final = "cardwatch"
"""The name under which all versions are registered."""
CHAMPION: Final = "champion"
"""The alias of the version that decides."""
CHALLENGER: Final = "challenger"
"""The alias of the newest version that was evaluated against the champion."""


class ModelVersion(Struct, frozen=True, kw_only=True):
    """One registered version. `digest` and `schema_hash` come from its tags and are empty if the tags lack them."""

    version: str
    run_id: str
    tags: dict[str, str]

    @property
    def digest(self) -> str:
        """The digest that the version's files must have."""
        return self.tags.get("digest", "")

    @property
    def schema_hash(self) -> str:
        """The hash of the feature schema that the model was trained on."""
        return self.tags.get("schema_hash", "")


class ModelRegistry(Protocol):
    """Versions of one model, by number and by alias.

    Every method raises `RegistryUnavailable` if the registry does not answer, and `ModelRefused` for a version that
    must not be used.
    """

    def champion(self) -> ModelVersion:
        """The version under `champion`; raises `NoChampion` if there is none."""
        ...

    def alias(self, name: str, /) -> ModelVersion | None:
        """The version under an alias, None if the alias or the model does not exist."""
        ...

    def version(self, version: str, /) -> ModelVersion | None:
        """A version by its number, None if it does not exist."""
        ...

    def files(self, version: ModelVersion, /) -> dict[str, bytes]:
        """The version's files by name; raises `CorruptModel` if they do not have its digest."""
        ...


class ModelSource(Protocol):
    """Where a scoring process gets its models: a registry that it follows, or one model in a folder.

    Every method raises `RegistryUnavailable` if the source does not answer, and `ModelRefused` for a version that
    must not be used.
    """

    def aliases(self) -> dict[str, str]:
        """The version number under each alias; empty if there is no model."""
        ...

    def version(self, version: str, /) -> ModelVersion | None:
        """A version by its number, None if it does not exist."""
        ...

    def files(self, version: ModelVersion, /) -> dict[str, bytes]:
        """The version's files by name; raises `CorruptModel` if they do not have its digest."""
        ...

    def no_champion(self) -> NoChampion:
        """The error to raise where there is no champion; its message says how to get one."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
