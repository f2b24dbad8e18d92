"""The calendar: Easter, rest days, seasons, and the days since pay day."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from cardwatch.simulation.calendar_day import NO_PAY_DAY, calendar_day, easter, is_public_holiday, is_rest_day


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [
        (1818, 3, 22),  # the earliest possible date
        (1943, 4, 25),  # the latest
        (1954, 4, 18),  # an exception of the rule: not April 25
        (1981, 4, 19),  # the other exception: not April 26
        (2000, 4, 23),
        (2024, 3, 31),
        (2025, 4, 20),
        (2026, 4, 5),
    ],
)
def test_easter_is_on_the_published_date(year: int, month: int, day: int) -> None:
    assert easter(year) == date(year, month, day)


def test_easter_is_the_sunday_after_the_spring_full_moon_for_two_centuries() -> None:
    dates = [easter(year) for year in range(1900, 2100)]
    assert all(day.weekday() == 6 for day in dates)
    assert all(date(day.year, 3, 22) <= day <= date(day.year, 4, 25) for day in dates)


def test_the_holidays_of_2025_are_the_fixed_ones_and_those_around_easter() -> None:
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(365)]
    assert [day for day in days if is_public_holiday(day)] == [
        date(2025, 1, 1),
        date(2025, 4, 18),  # Good Friday
        date(2025, 4, 20),
        date(2025, 4, 21),
        date(2025, 5, 1),
        date(2025, 5, 29),  # Ascension Day
        date(2025, 6, 9),  # Whit Monday
        date(2025, 8, 15),
        date(2025, 11, 1),
        date(2025, 12, 25),
        date(2025, 12, 26),
    ]
    assert sum(is_rest_day(day) for day in days) == 52 + 10  # Easter Sunday is one of the 52


def test_the_seasons_have_a_mean_of_one_and_peak_in_december_and_summer() -> None:
    days = [calendar_day(date(2025, 1, 1) + timedelta(days=number)) for number in range(365)]
    for ratios in zip(*((day.purchase_ratio, day.online_ratio, day.departure_ratio) for day in days), strict=True):
        assert np.mean(ratios) == pytest.approx(1.0, abs=0.005)
        assert np.abs(np.diff(ratios)).max() < 0.04  # no jumps from day to day
    assert max(days, key=lambda day: day.purchase_ratio).date.month == 12
    assert max(days, key=lambda day: day.departure_ratio).date.month in (7, 8)


def test_purchases_rise_on_pay_day_and_decline_until_the_next_one() -> None:
    start = date(2025, 2, 1)
    of_days = [calendar_day(start + timedelta(days=number)).purchases_by_pay_day() for number in range(59)]
    assert all(ratios[NO_PAY_DAY] == 1.0 for ratios in of_days)
    paid_on_25 = np.array([ratios[25] for ratios in of_days])
    before, on_pay_day = 23, 24  # February 24 and 25
    assert paid_on_25[on_pay_day] > 1.05
    assert paid_on_25[before] < 0.97
    until_next = paid_on_25[on_pay_day : on_pay_day + 28]  # March 25 is 28 days later
    assert (np.diff(until_next) <= 0).all()
    assert paid_on_25[on_pay_day + 28] == paid_on_25[on_pay_day]
    assert paid_on_25.max() / paid_on_25.min() < 1.3
    assert paid_on_25[: 4 * 7].mean() == pytest.approx(1.0, abs=0.03)


def test_the_days_since_pay_day_are_counted_over_the_end_of_a_short_month() -> None:
    # From February 28 to March 3, 2025 are three days, and from February 1 to March 1 as many as to February 28 and 1.
    after_three_days = calendar_day(date(2025, 3, 3)).purchases_by_pay_day()[28]
    assert after_three_days == calendar_day(date(2025, 2, 28)).purchases_by_pay_day()[25]


def test_the_last_day_of_a_month_is_known_in_leap_years() -> None:
    assert calendar_day(date(2024, 2, 29)).is_last_of_month
    assert not calendar_day(date(2024, 2, 28)).is_last_of_month
    assert calendar_day(date(2025, 2, 28)).is_last_of_month
