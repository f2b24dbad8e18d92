"""The champion's data that the monitor reads."""

from __future__ import annotations

import pytest

from cardwatch.errors import SchemaMismatch
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import ModelVersion
from services.monitor.champions import load_reference
from tests.former_version import FORMER_SCHEMA


class OneChampion:
    """A registry whose files are not read in this test."""

    def champion(self) -> ModelVersion:
        return ModelVersion(version="7", run_id="", tags={"schema_hash": FORMER_SCHEMA})

    def alias(self, _name: str, /) -> ModelVersion | None:
        return self.champion()

    def version(self, _version: str, /) -> ModelVersion | None:
        return self.champion()

    def files(self, _version: ModelVersion, /) -> dict[str, bytes]:
        raise AssertionError("the files of a champion of another schema are of no use")


def test_a_champion_of_a_former_feature_schema_is_refused_with_the_remedy() -> None:
    registry = OneChampion()
    with pytest.raises(SchemaMismatch) as raised:
        load_reference(registry, registry.champion())
    assert str(raised.value) == (
        f"the champion, version 7, needs features of schema {FORMER_SCHEMA}, this code computes {SCHEMA_HASH}: run "
        "`cardwatch upgrade`, which trains a model for this version"
    )
