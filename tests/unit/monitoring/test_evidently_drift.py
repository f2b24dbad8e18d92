"""Evidently on feature rows: what counts as drift, and what must not break it."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cardwatch.features.definitions import FEATURE_NAMES, FEATURES, column
from monitoring.evidently_drift import FeatureDrift
from monitoring.watched import MARGIN, NOT_WATCHED, WATCHED

ROWS = 2_500
Rows = NDArray[np.float32]


def rows(seed: int) -> Rows:
    """Return the same values in all columns, so that a further feature draws nothing else."""
    values = np.random.default_rng(seed).normal(10.0, 2.0, (ROWS, 1)).astype(np.float32)
    return np.repeat(values, len(FEATURES), axis=1)


def margins(seed: int) -> Rows:
    return np.random.default_rng(1_000 + seed).normal(-4.0, 1.0, ROWS).astype(np.float32)


@pytest.fixture(scope="module")
def drift() -> FeatureDrift:
    return FeatureDrift(rows(7), margins(7))


def with_column(features: Rows, name: str, values: Rows | float) -> Rows:
    changed = features.copy()
    changed[:, column(name)] = values
    return changed


def test_features_that_are_not_watched_are_features() -> None:
    assert set(NOT_WATCHED) < set(FEATURE_NAMES)
    assert set(WATCHED) == (set(FEATURE_NAMES) - set(NOT_WATCHED)) | {MARGIN}


def test_rows_of_the_same_distribution_have_not_drifted(drift: FeatureDrift) -> None:
    result = drift.compare(rows(8), margins(8))
    assert (result.drifted, result.share, result.not_compared) == ([], 0.0, {})
    assert set(result.scores) == set(WATCHED)


def test_a_shifted_column_is_named_and_its_distance_is_the_shift_in_standard_deviations(drift: FeatureDrift) -> None:
    shifted = with_column(rows(8), "amount", rows(8)[:, column("amount")] + 2.0)
    result = drift.compare(shifted, margins(8))
    assert result.drifted == ["amount"]
    assert result.share == pytest.approx(1 / len(WATCHED))
    assert result.scores["amount"] == pytest.approx(2.0 / 2.0, abs=0.1)


def test_the_furthest_column_is_named_first(drift: FeatureDrift) -> None:
    moved = with_column(rows(8), "amount", rows(8)[:, column("amount")] + 1.0)
    assert drift.compare(moved, margins(8) + 4.0).drifted == [MARGIN, "amount"]


def test_a_column_that_trends_by_construction_is_not_monitored(drift: FeatureDrift) -> None:
    assert drift.compare(with_column(rows(8), "history_length", 50.0), margins(8)).drifted == []


def test_equal_rows_give_equal_results(drift: FeatureDrift) -> None:
    assert drift.compare(rows(3), margins(3)) == drift.compare(rows(3), margins(3))


def test_constant_missing_and_infinite_columns_are_handled() -> None:
    reference = with_column(with_column(rows(7), "speed_from_last_kmh", np.nan), "is_atm", 0.0)
    reference = with_column(reference, "count_1h", np.nan)
    reference[::7, column("amount")] = np.inf
    current = with_column(with_column(rows(8), "is_atm", 0.0), "count_1h", np.nan)
    current[::5, column("hour_of_day")] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = FeatureDrift(reference, margins(7)).compare(current, margins(8))
    assert result.drifted == []
    assert result.scores["is_atm"] == 0.0
    assert "count_1h" not in {*result.scores, *result.not_compared}  # without a value on both sides nothing changed


@pytest.mark.parametrize("is_reference", [True, False])
def test_a_column_that_is_constant_on_one_side_has_drifted(is_reference: bool) -> None:
    varied, constant = rows(7), with_column(rows(7), "amount", 10.0)
    reference, current = (constant, varied) if is_reference else (varied, constant)
    result = FeatureDrift(reference, margins(7)).compare(current, margins(7))
    assert (result.drifted, result.not_compared) == (["amount"], {})


def test_a_column_with_too_few_values_is_named_with_the_reason(drift: FeatureDrift) -> None:
    values = rows(8)[:, column("amount")]
    values[500:] = np.nan
    result = drift.compare(with_column(rows(8), "amount", values), margins(8))
    # of 2,500 rows, of which the first 500 have a value, 2,000 are sampled at equal distances
    assert result.not_compared == {"amount": "fewer than 500 of 2,000 sampled decisions have a value: 400"}
    assert (result.drifted, result.share, "amount" in result.scores) == ([], 0.0, False)


def test_a_column_that_the_reference_lacks_is_named_with_the_reason() -> None:
    reference = with_column(rows(7), "amount", np.nan)
    result = FeatureDrift(reference, margins(7)).compare(rows(8), margins(8))
    assert result.not_compared == {"amount": "the reference has fewer than 500 values: 0"}
    assert result.drifted == []


def test_a_feature_that_vanished_has_drifted(drift: FeatureDrift) -> None:
    result = drift.compare(with_column(rows(8), "is_ecommerce", np.nan), margins(8))
    assert result.drifted == ["is_ecommerce"]
    assert result.scores["is_ecommerce"] == 1.0


def test_margins_of_another_model_are_not_compared(drift: FeatureDrift) -> None:
    result = drift.compare(rows(8), np.full(ROWS, np.nan, np.float32))
    assert (result.drifted, MARGIN in result.scores) == ([], False)
    reason = "fewer than 500 of 2,000 sampled decisions have a margin of the champion: 0"
    assert result.not_compared == {MARGIN: reason}


def test_too_few_rows_are_not_compared(drift: FeatureDrift) -> None:
    result = drift.compare(rows(8)[:499] + 5, margins(8)[:499])
    assert (result.drifted, result.share, result.scores) == ([], 0.0, {})
    assert result.not_compared == dict.fromkeys(WATCHED, "there are fewer than 500 decisions: 499")
    nothing = drift.compare(rows(8)[:0], margins(8)[:0])
    assert nothing.share == 0.0
    assert nothing.not_compared == dict.fromkeys(WATCHED, "there are fewer than 500 decisions: 0")


def test_a_reference_without_values_compares_nothing() -> None:
    result = FeatureDrift(rows(7)[:0], margins(7)[:0]).compare(rows(8), margins(8))
    assert result.scores == {}
    assert result.not_compared == dict.fromkeys(WATCHED, "the reference has fewer than 500 values: 0")


def test_the_report_has_the_same_verdict(tmp_path: Path) -> None:
    reference = with_column(np.full((ROWS, len(FEATURES)), np.nan, np.float32), "amount", rows(7)[:, 0])
    drift = FeatureDrift(reference, margins(7))
    drift.save_report(tmp_path / "nothing-yet.html", drift_share=0.5)
    assert not (tmp_path / "nothing-yet.html").exists()
    assert drift.compare(with_column(reference, "amount", rows(8)[:, 0] + 2.0), margins(8)).drifted == ["amount"]
    page = tmp_path / "reports" / "drift.html"
    drift.save_report(page, drift_share=0.5)
    assert "Drift is detected for 50.0% of columns (1 out of 2)." in page.read_text(encoding="utf-8")


def test_the_report_has_the_missing_values_of_columns_without_a_distance(tmp_path: Path) -> None:
    reference = np.full((ROWS, len(FEATURES)), np.nan, np.float32)
    for name in ("amount", "count_1h", "hour_of_day"):
        reference[:, column(name)] = rows(7)[:, 0]
    current = with_column(reference, "amount", np.nan)
    current[100:, column("count_1h")] = np.nan
    drift = FeatureDrift(reference, margins(7))
    drift.compare(current, margins(8))
    drift.save_report(tmp_path / "drift.html", drift_share=0.5)
    page = (tmp_path / "drift.html").read_text(encoding="utf-8")
    for name in ("amount", "count_1h"):
        assert f"Column '{name}' missing values: Current" in page
    assert "Column 'hour_of_day' missing values" not in page
