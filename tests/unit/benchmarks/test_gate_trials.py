"""Trials of the gate on a scored world that is made by hand."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate.__main__ import markdown, summarise
from benchmarks.gate.trials import GATE, JudgedWorld, small_trials
from benchmarks.gate.worlds import CHANNELS, ScoredWorld

CALM_DAYS = 7
CARDS = 600


@pytest.fixture
def scored() -> ScoredWorld:
    """Three weeks, one calm. Two equal models see no fraud, the retrained one sees all of it."""
    days = np.repeat(np.arange(21), CARDS)
    cards = np.tile(np.arange(CARDS), 21)
    is_fraud = cards < 60
    blind, seeing = np.full(len(days), 0.001), np.where(is_fraud, 0.9, 0.001)
    return ScoredWorld(
        days=days,
        cards=cards,
        amount_minor=np.full(len(days), 5_000),
        is_fraud=is_fraud,
        channels=np.full(len(days), CHANNELS.index("is_ecommerce")),
        merchant_category=np.full(len(days), 5411, np.float32),
        history_length=np.full(len(days), 50, np.float32),
        probabilities=np.stack([blind, blind, seeing]),
    )


def test_a_scored_world_comes_back_from_its_file(scored: ScoredWorld, tmp_path: Path) -> None:
    scored.save(tmp_path / "worlds" / "small-1.npz")
    loaded = ScoredWorld.load(tmp_path / "worlds" / "small-1.npz")

    assert (loaded.probabilities == scored.probabilities).all()
    assert [path.name for path in (tmp_path / "worlds").iterdir()] == ["small-1.npz"]


def test_equal_models_are_never_promoted_and_one_that_sees_half_of_the_fraud_is(scored: ScoredWorld) -> None:
    trials = list(small_trials(JudgedWorld(1, scored, CALM_DAYS)))
    cheaper, equal = summarise(trials)

    # Each of two models in the place of the other in one calm week; each of them against the retrained one in two.
    assert (equal.trials, equal.promoted, equal.above[GATE]["0.0"]) == (2, 0, 0)
    assert (cheaper.trials, cheaper.above[GATE]["0.05"]) == (4, 4)
    assert cheaper.mean_saving == pytest.approx(0.5, abs=0.15)
    assert "| 50 % cheaper, 2,000 cards, 7 days | 1 | 4 |" in markdown([cheaper, equal])
