"""Metrics of the loop's benchmark, from outcomes that are counted by hand."""

from __future__ import annotations

import pytest

from benchmarks.loop import CALM, DRIFT, FAULT, metrics_of
from stress.outcome import Regained, Retraining, WorldOutcome
from stress.scenarios import ONSET_DAY


def world(scenario: str, **changes: object) -> WorldOutcome:
    facts: dict[str, object] = {
        "scenario": scenario,
        "seed": 1,
        "found_on": None,
        "found_columns": [],
        "detected_on": None,
        "alarms_before": [],
        "quarantined_before": 0,
        "quarantined_after": 0,
        "retrainings": [],
        "cost_ratio": 1.0,
        "regained": None,
        "judged": None,
        "monitored": [],
        "cpu_seconds": 20.0,
    }
    return WorldOutcome(**{**facts, **changes})  # type: ignore[arg-type]


def promoted(champion: float, challenger: float) -> Retraining:
    return Retraining(day=90, promoted=True, reasons=[], champion_cost_minor=champion, challenger_cost_minor=challenger)


def test_medians_are_over_the_worlds_of_each_kind() -> None:
    metrics = metrics_of(
        [
            world(CALM, cpu_seconds=10.0),
            world(CALM, cpu_seconds=30.0),
            world(FAULT, found_on=ONSET_DAY),
            world(
                DRIFT,
                cpu_seconds=80.0,
                detected_on=ONSET_DAY + 7,
                retrainings=[promoted(100.0, 90.0)],
                regained=Regained(first=200.0, served=110.0, hindsight=100.0),
            ),
            world(DRIFT, regained=Regained(first=200.0, served=200.0, hindsight=100.0)),
        ]
    )
    values = {name: metric.value for name, metric in metrics.items()}
    assert values == pytest.approx(
        {
            "loop_calm_time": 20.0,
            "loop_retrained_time": 80.0,  # the other world was never retrained
            "loop_detection": 7.0,
            "loop_fault": 0.0,
            "loop_regained": 0.45,
            "loop_harmful": 0.0,
        }
    )
    assert metrics["loop_detection"].how.endswith("median of 2 worlds, seen in 1")


def test_a_promotion_that_costs_more_is_counted() -> None:
    assert metrics_of([world(DRIFT, retrainings=[promoted(100.0, 106.0)])])["loop_harmful"].value == 1.0


def test_what_was_never_seen_has_no_metric() -> None:
    assert set(metrics_of([world(DRIFT)])) == {"loop_harmful"}
