"""Drift of feature rows: what counts as drift, and what must not break it."""

import warnings
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cardwatch.drift.assessment import DriftResult
from cardwatch.features.definitions import FEATURE_NAMES, FEATURES, column
from monitoring.evidently_report import ComparedColumn, evidently_distances
from monitoring.feature_drift import LABEL_THRESHOLD, DriftReference, FeatureDrift, sample
from monitoring.watched import CHANGES_BY_ITSELF, CODES, DEPENDS_ON_LABELS, MARGIN, WATCHED

ROWS, WEEKS = 2_500, 3
DAY, WEEK = date(2025, 3, 3), timedelta(days=7)
Rows = NDArray[np.float32]


def rows(seed: int) -> Rows:
    """Return the same values in all columns, so that a further feature draws nothing else; codes are whole numbers."""
    values = np.random.default_rng(seed).normal(10.0, 2.0, (ROWS, 1)).astype(np.float32)
    of_all = np.repeat(values, len(FEATURES), axis=1)
    codes = [column(name) for name in CODES]
    of_all[:, codes] = np.round(of_all[:, codes])
    return of_all


def margins(seed: int) -> Rows:
    return np.random.default_rng(1_000 + seed).normal(-4.0, 1.0, ROWS).astype(np.float32)


def days_of_weeks(last: int, weeks: int, rows: int) -> NDArray[np.int64]:
    """Return the days of weeks with `rows` rows each, spread over their days, the newest week first."""
    return np.concatenate([last - 7 * week - np.arange(rows) % 7 for week in range(weeks)])


def drift_from(features: Rows, own_margins: Rows, weeks: int = WEEKS) -> FeatureDrift:
    """Return the drift from a reference that ends a week before `DAY` and has the same rows in each of its weeks."""
    last = (DAY - WEEK - date(1970, 1, 1)).days
    return FeatureDrift(
        DriftReference(
            features=np.tile(features, (weeks, 1)),
            margins=np.tile(own_margins, weeks),
            days=days_of_weeks(last, weeks, len(features)),
        )
    )


def compare(drift: FeatureDrift, features: Rows, own_margins: Rows, day: date = DAY) -> DriftResult:
    return drift.compare(features, own_margins, day)


@pytest.fixture(scope="module")
def drift() -> FeatureDrift:
    return drift_from(rows(7), margins(7))


def with_column(features: Rows, name: str, values: Rows | float) -> Rows:
    changed = features.copy()
    changed[:, column(name)] = values
    return changed


def test_all_features_and_the_margin_are_watched() -> None:
    assert set(WATCHED) == {*FEATURE_NAMES, MARGIN}
    assert {*CODES, *DEPENDS_ON_LABELS, *CHANGES_BY_ITSELF} < set(FEATURE_NAMES)


def test_rows_of_the_same_distribution_have_not_drifted(drift: FeatureDrift) -> None:
    result = compare(drift, rows(8), margins(8))
    assert (result.drifted, result.share, result.not_compared) == ([], 0.0, {})
    assert set(result.scores) == set(result.thresholds) == set(WATCHED)


def test_a_shifted_column_is_named_and_its_distance_is_the_shift_in_standard_deviations(drift: FeatureDrift) -> None:
    shifted = with_column(rows(8), "amount", rows(8)[:, column("amount")] + 2.0)
    result = compare(drift, shifted, margins(8))
    assert result.drifted == ["amount"]
    assert result.share == pytest.approx(1 / len(WATCHED))
    assert result.scores["amount"] == pytest.approx(2.0 / 2.0, abs=0.1)


def test_other_codes_are_drift(drift: FeatureDrift) -> None:
    """Half of the rows of each code get a new one: the distance of (1/2, 1/2) and (1, 0), by hand, is 0.4645."""
    codes = with_column(rows(7), "merchant_category", 1.0)
    changed = codes.copy()
    changed[::2, column("merchant_category")] = 2.0
    result = compare(drift_from(codes, margins(7)), changed, margins(7))
    assert result.drifted == ["merchant_category"]
    expected = np.sqrt((np.log(1 / 0.75) + 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)) / 2)
    assert result.scores["merchant_category"] == pytest.approx(expected)


def test_the_furthest_column_is_named_first(drift: FeatureDrift) -> None:
    moved = with_column(rows(8), "amount", rows(8)[:, column("amount")] + 1.0)
    assert compare(drift, moved, margins(8) + 4.0).drifted == [MARGIN, "amount"]


def test_a_column_that_grew_in_the_reference_may_grow_on(drift: FeatureDrift) -> None:
    """It grew by a standard deviation a week, and has done so in the four weeks after the reference as well."""
    values, name = rows(7)[:, column("history_length")], "history_length"
    last = (DAY - 4 * WEEK - date(1970, 1, 1)).days
    growing = DriftReference(
        features=np.concatenate([with_column(rows(7), name, values + 2.0 * week) for week in range(4)]),
        margins=np.tile(margins(7), 4),
        days=days_of_weeks(last, 4, ROWS)[::-1],
    )
    grown = with_column(rows(8), name, values + 2.0 * (3 + 4))
    result = FeatureDrift(growing).compare(grown, margins(8), DAY)
    assert result.drifted == []
    assert result.scores[name] == pytest.approx(4.0, abs=0.3)
    # neighbours are 1 apart, and 1 further apart with each week: 3 x 1 + 2 x 1 x (4 - 1)
    assert result.thresholds[name] == pytest.approx(9.0, abs=0.3)
    assert compare(drift, grown, margins(8)).drifted == [name]


def test_columns_that_depend_on_labels_have_a_larger_threshold(drift: FeatureDrift) -> None:
    thresholds = compare(drift, rows(8), margins(8)).thresholds
    assert {name for name, threshold in thresholds.items() if threshold == LABEL_THRESHOLD} == DEPENDS_ON_LABELS
    assert {threshold for name, threshold in thresholds.items() if name not in DEPENDS_ON_LABELS} == {0.1}


def test_a_reference_of_few_weeks_does_not_compare_columns_that_change_by_themselves() -> None:
    result = compare(drift_from(rows(7), margins(7), weeks=2), rows(8), margins(8))
    assert set(result.not_compared) == set(CHANGES_BY_ITSELF)
    reason = "the reference has fewer than 3 weeks, and it changes as a card's history grows"
    assert result.not_compared["history_length"] == reason
    assert (result.drifted, set(result.scores)) == ([], set(WATCHED) - set(CHANGES_BY_ITSELF))


def test_equal_rows_give_equal_results(drift: FeatureDrift) -> None:
    assert compare(drift, rows(3), margins(3)) == compare(drift, rows(3), margins(3))


def test_evidently_has_the_same_distances() -> None:
    """They are used for the columns over their thresholds, ours for all others."""
    features, current = with_column(rows(7), "amount", np.abs(rows(7)[:, 0]) ** 3), rows(8)
    features[::3, column("count_1h")] = np.nan
    result = compare(drift_from(features, margins(7)), current, margins(8))
    columns = {
        name: ComparedColumn("jensenshannon" if name in CODES else "wasserstein", threshold)
        for name, threshold in result.thresholds.items()
    }
    found = evidently_distances(sample(features, margins(7)), sample(current, margins(8)), columns)
    assert found == pytest.approx(result.scores, rel=1e-9, abs=1e-12)


def test_constant_missing_and_infinite_columns_are_handled() -> None:
    reference = with_column(with_column(rows(7), "speed_from_last_kmh", np.nan), "is_atm", 0.0)
    reference = with_column(reference, "count_1h", np.nan)
    reference[::7, column("amount")] = np.inf
    current = with_column(with_column(rows(8), "is_atm", 0.0), "count_1h", np.nan)
    current[::5, column("hour_of_day")] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = compare(drift_from(reference, margins(7)), current, margins(8))
    assert result.drifted == []
    assert result.scores["is_atm"] == 0.0
    assert "count_1h" not in {*result.scores, *result.not_compared}  # without a value on both sides nothing changed


@pytest.mark.parametrize("is_reference", [True, False])
def test_a_column_that_is_constant_on_one_side_has_drifted(is_reference: bool) -> None:
    varied, constant = rows(7), with_column(rows(7), "amount", 10.0)
    reference, current = (constant, varied) if is_reference else (varied, constant)
    result = compare(drift_from(reference, margins(7)), current, margins(7))
    assert (result.drifted, result.not_compared) == (["amount"], {})


def test_a_column_with_too_few_values_is_named_with_the_reason(drift: FeatureDrift) -> None:
    values = rows(8)[:, column("amount")]
    values[499:] = np.nan
    result = compare(drift, with_column(rows(8), "amount", values), margins(8))
    assert result.not_compared == {"amount": "fewer than 500 of 2,500 sampled decisions have a value: 499"}
    assert (result.drifted, result.share, "amount" in result.scores) == ([], 0.0, False)


def test_a_column_that_the_reference_lacks_is_named_with_the_reason() -> None:
    reference = with_column(rows(7), "amount", np.nan)
    result = compare(drift_from(reference, margins(7)), rows(8), margins(8))
    assert result.not_compared == {"amount": "the reference has fewer than 500 values: 0"}
    assert result.drifted == []


def test_a_feature_that_vanished_has_drifted(drift: FeatureDrift) -> None:
    result = compare(drift, with_column(rows(8), "is_ecommerce", np.nan), margins(8))
    assert result.drifted == ["is_ecommerce"]
    assert result.scores["is_ecommerce"] == 1.0


def test_margins_of_another_model_are_not_compared(drift: FeatureDrift) -> None:
    result = compare(drift, rows(8), np.full(ROWS, np.nan, np.float32))
    assert (result.drifted, MARGIN in result.scores) == ([], False)
    reason = "fewer than 500 of 2,500 sampled decisions have a margin of the champion: 0"
    assert result.not_compared == {MARGIN: reason}


def test_too_few_rows_are_not_compared(drift: FeatureDrift) -> None:
    result = compare(drift, rows(8)[:499] + 5, margins(8)[:499])
    assert (result.drifted, result.share, result.scores) == ([], 0.0, {})
    assert result.not_compared == dict.fromkeys(WATCHED, "there are fewer than 500 decisions: 499")
    nothing = compare(drift, rows(8)[:0], margins(8)[:0])
    assert nothing.share == 0.0
    assert nothing.not_compared == dict.fromkeys(WATCHED, "there are fewer than 500 decisions: 0")


def test_a_reference_without_values_compares_nothing() -> None:
    result = compare(drift_from(rows(7)[:0], margins(7)[:0]), rows(8), margins(8))
    assert result.scores == {}
    assert result.not_compared == dict.fromkeys(WATCHED, "the reference has fewer than 500 values: 0")


def test_the_report_has_the_same_verdict(tmp_path: Path) -> None:
    reference = with_column(np.full((ROWS, len(FEATURES)), np.nan, np.float32), "amount", rows(7)[:, 0])
    drift = drift_from(reference, margins(7))
    drift.save_report(tmp_path / "nothing-yet.html", drift_share=0.5)
    assert not (tmp_path / "nothing-yet.html").exists()
    changed = with_column(reference, "amount", rows(8)[:, 0] + 2.0)
    assert compare(drift, changed, margins(8)).drifted == ["amount"]
    page = tmp_path / "reports" / "drift.html"
    drift.save_report(page, drift_share=0.5)
    assert "Drift is detected for 50.0% of columns (1 out of 2)." in page.read_text(encoding="utf-8")


def test_the_report_has_the_missing_values_of_columns_without_a_distance(tmp_path: Path) -> None:
    reference = np.full((ROWS, len(FEATURES)), np.nan, np.float32)
    for name in ("amount", "count_1h", "hour_of_day"):
        reference[:, column(name)] = rows(7)[:, 0]
    current = with_column(reference, "amount", np.nan)
    current[100:, column("count_1h")] = np.nan
    drift = drift_from(reference, margins(7))
    compare(drift, current, margins(8))
    drift.save_report(tmp_path / "drift.html", drift_share=0.5)
    page = (tmp_path / "drift.html").read_text(encoding="utf-8")
    for name in ("amount", "count_1h"):
        assert f"Column '{name}' missing values: Current" in page
    assert "Column 'hour_of_day' missing values" not in page
