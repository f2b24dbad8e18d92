"""Recall by typology: the truth of each transaction, campaigns by hand, intervals, and the documented figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.typologies.intervals import markdown, recalls
from benchmarks.typologies.recall import (
    FRIENDLY_FRAUD,
    GENUINE,
    PROTOCOL,
    CampaignResult,
    RowTruth,
    WorldResult,
    by_campaign,
    measure_world,
    simulate,
)
from cardwatch.simulation.settings import SimulationSettings
from models.training import TrainingSettings

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results"


def world(seed: int, *campaigns: tuple[str, int, int, int]) -> WorldResult:
    return WorldResult(
        seed=seed,
        cards=1,
        days=60,
        campaigns=[
            CampaignResult(typology=typology, campaign=number, frauds=frauds, before=before, now=now)
            for number, (typology, frauds, before, now) in enumerate(campaigns, 1)
        ],
    )


def test_the_truth_is_that_of_the_same_transaction() -> None:
    settings = SimulationSettings(seed=3, cards=150, merchants=200, fraud_share=0.03)
    dataset, truth = simulate(settings, 12, lambda step: None)
    assert len(truth.typology) == len(truth.campaign) == len(dataset)
    # By default all fraud is reported, and friendly fraud as well, whose holder lies.
    assert np.array_equal(truth.typology != GENUINE, dataset.is_fraud)
    assert dataset.is_fraud.sum() > 20
    real = np.isin(truth.typology, (GENUINE, FRIENDLY_FRAUD), invert=True)
    assert np.all(truth.campaign[real] > 0)
    assert np.all(truth.campaign[truth.typology == GENUINE] == 0)


def test_frauds_are_counted_by_campaign() -> None:
    truth = RowTruth(
        typology=np.array(["genuine", "skimming", "enumeration", "skimming", "enumeration", "enumeration"]),
        campaign=np.array([0, 9, 4, 9, 4, 4]),
    )
    tested = np.array([1, 2, 3, 4])  # the last fraud is not in a test
    found = by_campaign(
        truth, tested, before=np.array([True, False, False, False]), now=np.array([True, True, True, False])
    )
    assert found == [
        CampaignResult(typology="enumeration", campaign=4, frauds=2, before=0, now=1),
        CampaignResult(typology="skimming", campaign=9, frauds=2, before=1, now=2),
    ]


def test_recall_is_pooled_over_the_worlds() -> None:
    worlds = [world(1, ("skimming", 8, 2, 4), ("enumeration", 5, 5, 5)), world(2, ("skimming", 2, 1, 2))]
    enumeration, skimming, total = recalls(worlds)
    assert (enumeration.typology, skimming.typology, total.typology) == ("enumeration", "skimming", "all")
    assert (skimming.campaigns, skimming.frauds) == (2, 10)
    assert (skimming.before.value, skimming.now.value, skimming.gain.value) == pytest.approx((0.3, 0.6, 0.3))
    assert (total.before.value, total.now.value) == pytest.approx((8 / 15, 11 / 15))


def test_intervals_are_those_of_whole_campaigns() -> None:
    # Two campaigns of ten frauds, one found altogether and one not at all: a sample of two has recall 0, 0.5 or 1
    # with the probabilities 1/4, 1/2 and 1/4. An interval over twenty single frauds would be 0.27 to 0.73.
    found = recalls([world(1, ("skimming", 10, 0, 10), ("skimming", 10, 0, 0))])[0]
    assert (found.now.low, found.now.value, found.now.high) == (0.0, 0.5, 1.0)
    assert (found.before.low, found.before.high) == (0.0, 0.0)
    even = recalls([world(1, *[("skimming", 4, 1, 2)] * 5)])[0]
    assert (even.gain.low, even.gain.value, even.gain.high) == pytest.approx((0.25, 0.25, 0.25))


def test_the_table_has_a_line_per_typology() -> None:
    lines = markdown([world(1, ("bust_out", 4, 1, 2)), world(2, ("bust_out", 4, 1, 2))]).splitlines()
    assert lines[2] == "| bust out | 2 | 8 | 0.25 (0.25 to 0.25) | 0.50 (0.50 to 0.50) | +0.25 (+0.25 to +0.25) |"
    assert lines[3].startswith("| all | 2 | 8 |")


@pytest.mark.long
def test_a_small_world_is_measured_in_all_tests() -> None:
    result = measure_world(5, 200, TrainingSettings(), lambda step: None)
    assert result.days == PROTOCOL.all_days + 6
    assert sum(one.frauds for one in result.campaigns) > 0
    for one in result.campaigns:
        assert 0 <= one.before <= one.frauds
        assert 0 <= one.now <= one.frauds
        assert one.typology not in (GENUINE, FRIENDLY_FRAUD)


def test_the_documentation_shows_the_measured_figures() -> None:
    worlds = msgspec.json.decode((RESULTS / "typologies.json").read_bytes(), type=list[WorldResult])
    assert [(world.cards, world.days) for world in worlds] == [(20_000, 60)] * 5
    assert markdown(worlds) in (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
