"""Recorded results: a suite replaces its own metrics and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import Metric
from benchmarks.results_file import read_results, record_suite


def _metric(value: float) -> Metric:
    return Metric(value=value, unit="s", how="by hand")


def test_a_suite_that_is_measured_again_replaces_its_metrics_and_drops_those_it_no_longer_measures(
    tmp_path: Path,
) -> None:
    file = tmp_path / "results" / "latest.json"
    record_suite(file, "replay", {"replay": _metric(1.0), "replay_memory": _metric(2.0)}, load_before=0.5)
    record_suite(file, "startup", {"startup": _metric(3.0)}, load_before=0.5)
    record_suite(file, "replay", {"replay": _metric(4.0)}, load_before=0.126)
    found = read_results(file)
    assert found.metrics == {"replay": _metric(4.0), "startup": _metric(3.0)}
    assert (found.suites["replay"].metrics, found.suites["replay"].load_before) == (["replay"], 0.13)
    assert found.suites["startup"].metrics == ["startup"]


def test_two_suites_cannot_measure_the_same_and_nothing_is_written_then(tmp_path: Path) -> None:
    file = tmp_path / "latest.json"
    record_suite(file, "replay", {"replay": _metric(1.0)}, load_before=0.0)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="suite startup measures replay, which another suite measures too"):
        record_suite(file, "startup", {"replay": _metric(2.0)}, load_before=0.0)
    assert file.read_bytes() == before
