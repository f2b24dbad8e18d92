"""The simulated world beside public statistics, and how little a single raw column tells. See docs/simulation.md."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulated_world import (
    Statistic,
    precision_of_column,
    raw_columns,
    simulate_world,
    statistics_of,
)
from cardwatch.simulation.population import Population
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.transaction_array import DAY_MS, ECOMMERCE, TransactionArray, Typology

DAYS = 60
FIRST_MS = 1_736_121_600_000  # 2025-01-06T00:00Z, the first day of the default settings
HIGHEST_PRECISION_OF_A_COLUMN = 0.2
RATES = ("fraud rate by number, %", "fraud rate by value, %")


@pytest.fixture(scope="module")
def default_world() -> tuple[Population, TransactionArray]:
    return simulate_world(SimulationSettings(seed=102), DAYS)


@pytest.fixture(scope="module")
def statistics() -> list[Statistic]:
    # Seven times the default share of fraud: as many campaigns as in a world of 14,000 cards, at a seventh of the time.
    population, rows = simulate_world(SimulationSettings(seed=101, fraud_share=0.02), DAYS)
    return statistics_of(population, rows, DAYS)


def test_the_world_agrees_with_public_statistics(statistics: list[Statistic]) -> None:
    compared = [one for one in statistics if one.name not in RATES]
    outside = {one.name: one.simulated for one in compared if not one.band[0] <= one.simulated <= one.band[1]}
    assert not outside
    # What has no reason to differ has its public figure in the band, so that the band is no excuse.
    without_reason = [one for one in statistics if one.public is not None and not one.why]
    assert len(without_reason) >= 8
    assert all(one.band[0] <= one.public <= one.band[1] for one in without_reason if one.public is not None)


def test_the_default_share_of_fraud_is_higher_than_in_reality_by_its_factor(
    default_world: tuple[Population, TransactionArray],
) -> None:
    by_name = {one.name: one for one in statistics_of(*default_world, DAYS)}
    for name in RATES:
        one = by_name[name]
        assert one.band[0] <= one.simulated <= one.band[1], one
        assert one.public is not None
        assert 10 < one.simulated / one.public < 35


def test_pay_days_holidays_and_seasons_move_the_weeks_of_the_demo_by_a_few_per_cent_only(
    default_world: tuple[Population, TransactionArray],
) -> None:
    # Drift is assessed over a week. January 6, 2025, the first day, is a Monday: eight whole weeks.
    _, rows = default_world
    week = (rows["occurred_at_ms"] - FIRST_MS) // (7 * DAY_MS)
    weeks = [rows[week == number] for number in range(8)]
    for statistic in (
        len,
        lambda part: (part["channel"] == ECOMMERCE).mean(),
        lambda part: part["amount_minor"].mean(),
    ):
        values = np.array([statistic(part) for part in weeks])
        assert np.abs(values / values.mean() - 1).max() < 0.06
    assert np.ptp([len(part) for part in weeks]) > 0.01 * len(weeks[0])  # and yet they do


def test_a_rate_by_value_is_learnt_in_the_first_half_and_judged_in_the_second() -> None:
    # Value 1 has all frauds of the first half. In the second half, half of its rows are fraud, and none of value 0.
    values = np.array([0, 1] * 50 + [0, 1] * 50)
    fraud = np.array([False, True] * 50 + [False, True, False, False] * 25)
    assert precision_of_column(values, fraud) == pytest.approx(0.5)
    # A value that is new in the second half has the mean rate, and cannot be told from others of that rate.
    assert precision_of_column(np.arange(200), fraud) == pytest.approx(25 / 100)


def test_no_raw_column_alone_finds_the_fraud(default_world: tuple[Population, TransactionArray]) -> None:
    population, rows = default_world
    is_fraud = rows["typology"] != Typology.GENUINE
    columns = raw_columns(population, rows)
    found = {name: precision_of_column(values, is_fraud) for name, values in columns.items()}
    assert max(found.values()) < HIGHEST_PRECISION_OF_A_COLUMN, found
    assert found["amount"] > is_fraud.mean()  # it tells something, and not all
    assert found["channel"] > 2 * is_fraud.mean()
