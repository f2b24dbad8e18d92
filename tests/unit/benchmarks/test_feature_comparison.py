"""Two sets of features on the same folds: the earlier merchant risks by hand, and what the earlier rows lack."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.feature_sets import NEW_FAMILIES, NEW_MERCHANT_FEATURES, earlier_merchant_risks, earlier_rows
from cardwatch.features.definitions import FEATURES, column

DAY_MS = 86_400_000
FIRST_DAY = 20_000


def test_earlier_risks_count_fraud_by_the_day_of_its_report() -> None:
    # Merchant 0: two transactions on day 0, of which one is a fraud that is reported on day 2, and one on each of days
    # 1 to 3. Merchant 1: three transactions on days 1, 2 and 3, without fraud.
    days = np.array([0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
    merchants = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1])
    is_fraud = np.arange(14) == 1
    observed_at_ms = (FIRST_DAY + 2) * DAY_MS + np.zeros(14, np.int64)
    risks = earlier_merchant_risks(merchants, FIRST_DAY + days, is_fraud, observed_at_ms)
    # Nothing is known before day 3: 0 frauds among the merchant's transactions, and 200 with the base rate.
    assert risks[days == 0].tolist() == [[1.0, 1.0, 1.0]] * 2
    assert risks[6].tolist() == pytest.approx([200 / 201, 200 / 203, 200 / 203])
    # Day 3. One day: 1 fraud in the 4 transactions of day 2. Longer windows: 1 in 4 + 6 = 10.
    for merchant, frauds, last_day, longer in ((0, 1, 1, 4), (1, 0, 3, 6)):
        one_day = (frauds + 200 * 0.25) / (last_day + 200) / 0.25
        all_days = (frauds + 200 * 0.1) / (longer + 200) / 0.1
        for row in risks[(days == 3) & (merchants == merchant)]:
            assert row.tolist() == pytest.approx([one_day, all_days, all_days])


def test_a_report_leaves_the_window_of_a_day_after_that_day() -> None:
    days, merchants = np.repeat(np.arange(4), 2), np.tile([0, 1], 4)
    is_fraud = np.arange(8) == 0
    observed_at_ms = np.full(8, (FIRST_DAY + 1) * DAY_MS + 5)
    risks = earlier_merchant_risks(merchants, FIRST_DAY + days, is_fraud, observed_at_ms)
    assert risks[4, 0] > 1.0 > risks[5, 0]
    assert risks[6:, 0].tolist() == pytest.approx([200 / 201, 200 / 201])  # one transaction of the day before
    assert risks[6, 1] > 1.0


def test_a_merchant_without_transactions_in_thirty_days_has_average_risk() -> None:
    days = np.array([0, 0, 31, 31])
    observed_at_ms = np.full(4, (FIRST_DAY + 30) * DAY_MS)
    risks = earlier_merchant_risks(np.array([0, 1, 0, 1]), FIRST_DAY + days, np.arange(4) == 0, observed_at_ms)
    assert np.array_equal(risks, np.ones((4, 3), np.float32))


def test_reports_after_the_last_day_change_nothing() -> None:
    days, merchants = np.array([0, 1, 2]), np.zeros(3, np.int64)
    observed_at_ms = np.full(3, (FIRST_DAY + 9) * DAY_MS)
    risks = earlier_merchant_risks(merchants, FIRST_DAY + days, np.ones(3, np.bool_), observed_at_ms)
    unknown = earlier_merchant_risks(merchants, FIRST_DAY + days, np.zeros(3, np.bool_), observed_at_ms)
    assert np.array_equal(risks, unknown)
    assert risks.max() == 1.0


def test_earlier_rows_lack_the_new_features_and_have_the_earlier_risks() -> None:
    features = np.arange(2 * len(FEATURES), dtype=np.float32).reshape(2, -1)
    risks = np.array([[-1, -2, -3], [-4, -5, -6]], np.float32)
    rows = earlier_rows(features, risks)
    assert np.array_equal(rows[:, [column(f"merchant_risk_{name}") for name in ("recent", "7d", "30d")]], risks)
    for number, feature in enumerate(FEATURES):
        if feature.name.startswith("merchant_risk"):
            continue
        is_new = feature.family in NEW_FAMILIES or feature.name in NEW_MERCHANT_FEATURES
        assert np.isnan(rows[:, number]).all() if is_new else np.array_equal(rows[:, number], features[:, number])
    assert not np.isnan(features).any()
