"""A model registry in memory, for many worlds in one process."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Final

from cardwatch.errors import CorruptModel, NoChampion
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import CHALLENGER, CHAMPION, ModelVersion, digest_of


class MemoryRegistry:
    """The versions of one model, numbered from 1, with the aliases `challenger` and `champion`."""

    def __init__(self) -> None:
        self._versions: Final[dict[str, ModelVersion]] = {}
        self._files: Final[dict[str, dict[str, bytes]]] = {}
        self._aliases: Final[dict[str, str]] = {}

    def register(self, files: Mapping[str, bytes], tags: Mapping[str, str], *, promoted: bool) -> ModelVersion:
        """Add a version. It becomes the challenger, and the champion too if it was promoted."""
        number = str(len(self._versions) + 1)
        known = {"digest": digest_of(files), "schema_hash": SCHEMA_HASH}
        version = ModelVersion(version=number, run_id=number, tags={**tags, **known})
        self._versions[number], self._files[number] = version, dict(files)
        self._aliases[CHALLENGER] = number
        if promoted:
            self._aliases[CHAMPION] = number
        return version

    def version(self, version: str) -> ModelVersion | None:
        """Return a version by its number, None if it does not exist."""
        return self._versions.get(version)

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        """Return the version's files by name. Raises `CorruptModel` if they do not have its digest."""
        files = self._files[version.version]
        if digest_of(files) != version.digest:
            raise CorruptModel(f"the files of version {version.version} do not have its digest")
        return files

    def files_of(self, version: str) -> dict[str, bytes]:
        """Return the files of a version by its number. Raises `KeyError` if it does not exist."""
        return self.files(self._versions[version])

    def champion(self) -> ModelVersion:
        """Return the version under `champion`. Raises `NoChampion` if there is none."""
        if (found := self.alias(CHAMPION)) is None:
            raise NoChampion("no version has been promoted yet")
        return found

    def alias(self, name: str) -> ModelVersion | None:
        """Return the version under an alias, None if the alias does not exist."""
        return self._versions.get(self._aliases.get(name, ""))

    def branch(self) -> MemoryRegistry:
        """Return an independent copy with the same versions."""
        twin = MemoryRegistry()
        twin._versions.update(self._versions)
        twin._files.update(self._files)
        twin._aliases.update(copy(self._aliases))
        return twin
