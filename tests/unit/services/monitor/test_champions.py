"""The champion's data that the monitor reads."""

from __future__ import annotations

import pytest

from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import JudgedMeasures, MeasuredPerformance
from cardwatch.errors import SchemaMismatch
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import ModelVersion
from services.monitor.champions import judged_measures, load_reference
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


def champion(**tags: str) -> ModelVersion:
    return ModelVersion(version="7", run_id="", tags=tags)


def test_the_measures_of_a_judged_champion_are_in_its_tags() -> None:
    found = judged_measures(
        champion(measurable='{"average_precision":0.5,"frauds":60}', missed_frauds='{"frauds":31.5,"decisions":28000}')
    )
    assert found == JudgedMeasures(
        performance=MeasuredPerformance(average_precision=0.5, frauds=60),
        missed=MissedFrauds(frauds=31.5, decisions=28_000),
    )


@pytest.mark.parametrize("missed", [{}, {"missed_frauds": "null"}, {"missed_frauds": '{"frauds":1,"decisions":0}'}])
def test_a_champion_without_a_usable_count_of_missed_frauds_has_its_average_precision(missed: dict[str, str]) -> None:
    found = judged_measures(champion(measurable='{"average_precision":0.5,"frauds":60}', **missed))
    assert found.performance == MeasuredPerformance(average_precision=0.5, frauds=60)
    assert found.missed is None
