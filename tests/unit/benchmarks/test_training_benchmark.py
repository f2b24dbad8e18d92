"""The benchmark of training: its table by hand, and the documentation, which has to show the last results."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from benchmarks.document import RESULTS
from benchmarks.training.measure import (
    BASELINE,
    FOLDED,
    FOLDED_ISOTONIC,
    FORMER,
    SEARCHED,
    MeasuredModel,
    TrainedWorld,
    measure_world,
)
from benchmarks.training.tables import markdown
from cardwatch.training_policy import TrainingPolicy
from models.training import TrainingSettings

ROOT = Path(__file__).resolve().parents[3]
MODEL = MeasuredModel(
    average_precision=0.7,
    log_loss=0.004,
    brier=0.001,
    calibration_error=0.0002,
    expected_to_observed=1.0,
    cost=0.1,
    alerts=500,
    distinct=17,
)


def world(seed: int, gain: float) -> TrainedWorld:
    better = structs.replace(MODEL, average_precision=0.7 + gain, cost=0.1 - gain)
    return TrainedWorld(
        seed=seed,
        cards=2_000,
        train_frauds=400,
        test_frauds=150,
        models={FORMER: MODEL, FOLDED_ISOTONIC: MODEL, FOLDED: better, SEARCHED: better, BASELINE: MODEL},
        trials=10,
        best=TrainingSettings(),
        improvement=0.0,
        standard_error=0.0,
        is_chosen=False,
    )


def test_the_tables_show_means_and_paired_differences_with_intervals() -> None:
    lines = markdown([world(1, 0.01), world(2, 0.03)]).splitlines()
    assert f"| {FOLDED} | 0.720 | 4.00 | 10.00 | 2.00 | 1.00 | 0.080 | 500 | 17 |" in lines
    # The mean of 0.01 and 0.03, and 12.71 (Student's t with one degree of freedom) times their standard error, 0.01.
    assert any(
        line.endswith("| +0.020 (-0.107 to +0.147) | +0.00 (+0.00 to +0.00) | -0.020 (-0.147 to +0.107) |")
        for line in lines
    )


def test_the_documentation_shows_the_measured_figures() -> None:
    worlds = msgspec.json.decode((RESULTS.parent / "training.json").read_bytes(), type=list[TrainedWorld])
    assert [(one.cards, one.trials) for one in worlds] == [(2_000, 10)] * len(worlds)
    assert markdown(worlds) in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_a_small_world_is_trained_in_all_ways() -> None:
    result = measure_world(5, 150, TrainingPolicy(trials=2), lambda step: None)
    assert set(result.models) == {FORMER, FOLDED_ISOTONIC, FOLDED, SEARCHED, BASELINE}
    assert result.models[FOLDED].distinct > result.models[FOLDED_ISOTONIC].distinct
    assert result.models[FOLDED].average_precision == result.models[FOLDED_ISOTONIC].average_precision
