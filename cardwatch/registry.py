"""Registered models: versions, aliases and the ports of a registry, which MLflow, SageMaker and a folder implement."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from cardwatch.errors import NoChampion

MODEL: Final = "cardwatch"
"""The name under which all versions are registered."""
CHAMPION: Final = "champion"
"""The alias of the version that decides."""
CHALLENGER: Final = "challenger"
"""The alias of the newest version that was evaluated against the champion."""
SHADOW: Final = "shadow"
"""The alias of the version that scores everything and decides nothing."""
CANARY: Final = "canary"
"""The alias of the version that decides a share of the cards."""
PREVIOUS: Final = "previous"
"""The alias of the champion before the present one."""


AS_OF: Final = "as_of"
"""Tag of a version: the day at whose end it was trained."""


class ModelVersion(Struct, frozen=True, kw_only=True):
    """A registered version. `digest` and `schema_hash` come from its tags and are empty if the tags lack them."""

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


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the digest of a detector's files, equal to the output of `cd FOLDER && sha256sum * | sha256sum`."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class ServedAliases(NamedTuple):
    """The version number under each alias, and the share of the cards that the canary decides, None without one."""

    versions: dict[str, str]
    canary_share: float | None = None


class ModelVersions(Protocol):
    """Versions of one model, by number.

    Every method, also of the extensions below, raises `RegistryUnavailable` if the source does not answer, and
    `ModelRefused` for a version that must not be used.
    """

    def version(self, version: str, /) -> ModelVersion | None:
        """Return a version by its number, None if it does not exist."""

    def files(self, version: ModelVersion, /) -> dict[str, bytes]:
        """Return the version's files by name. Raises `CorruptModel` if they do not have its digest."""


class ModelRegistry(ModelVersions, Protocol):
    """Versions by number and by alias, for monitor and pipelines."""

    def champion(self) -> ModelVersion:
        """Return the version under `champion`. Raises `NoChampion` if there is none."""

    def alias(self, name: str, /) -> ModelVersion | None:
        """Return the version under an alias, None if the alias or the model does not exist."""


class ModelSource(ModelVersions, Protocol):
    """Source of models for a scoring process: a registry that it follows, or one model in a folder."""

    def aliases(self) -> ServedAliases:
        """Return the versions under the aliases; none if there is no model. Both are read at once."""

    def no_champion(self) -> NoChampion:
        """Return the error for a missing champion, which says how to get one."""

    def close(self) -> None:
        """Close the connections."""
