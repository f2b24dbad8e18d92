"""Models as a registry stores them, for scoring recorded rows again, and why one cannot be used."""

from __future__ import annotations

from msgspec import Struct

from cardwatch.detector.detector import Detector
from cardwatch.errors import CorruptModel, SchemaMismatch
from cardwatch.registry import ModelVersion, ModelVersions


class StoredModel(Struct, frozen=True, kw_only=True):
    """A version of the model. `registered` is None if the registry does not have it (any more).

    `detector` is None if it cannot be used, and then `problem` says why. `is_changed`: its files are not those that
    were registered, or cannot have scored such rows.
    """

    registered: ModelVersion | None
    detector: Detector | None = None
    problem: str = ""
    is_changed: bool = False

    @property
    def digest(self) -> str:
        """The digest that the registry recorded, empty without a version."""
        return self.registered.digest if self.registered else ""


class StoredModels:
    """The versions of a registry, each loaded once for each feature schema.

    Methods raise `RegistryUnavailable` if the registry does not answer.
    """

    def __init__(self, source: ModelVersions) -> None:
        self._source = source
        self._loaded: dict[tuple[str, str], StoredModel] = {}

    def load(self, version: str, schema_hash: str) -> StoredModel:
        """Return a version for rows of this feature schema."""
        key = version, schema_hash
        if key not in self._loaded:
            self._loaded[key] = self._load(version, schema_hash)
        return self._loaded[key]

    def _load(self, version: str, schema_hash: str) -> StoredModel:
        registered = self._source.version(version)
        if registered is None:
            return StoredModel(registered=None, problem=f"the registry does not have version {version} (any more)")
        try:
            detector = Detector.from_files(self._source.files(registered), schema_hash=schema_hash)
        except (CorruptModel, SchemaMismatch) as error:
            return StoredModel(registered=registered, problem=str(error), is_changed=True)
        return StoredModel(registered=registered, detector=detector)
