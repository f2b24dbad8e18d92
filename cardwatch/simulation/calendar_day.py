"""Calendar of the simulated world: public holidays, rest days, seasons, and the days since pay day."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_SUNDAY: Final = 6
_FIXED_HOLIDAYS: Final = ((1, 1), (5, 1), (8, 15), (11, 1), (12, 25), (12, 26))
"""Month and day of the public holidays that are most common in the countries of the simulated cities."""
_HOLIDAYS_AFTER_EASTER: Final = (-2, 0, 1, 39, 50)
"""Days from Easter Sunday to Good Friday, Easter Sunday, Easter Monday, Ascension Day and Whit Monday."""

_PURCHASES_BY_MONTH: Final = (0.97, 0.97, 0.99, 1.00, 1.00, 1.01, 1.01, 0.98, 1.00, 1.00, 1.02, 1.12)
"""Purchases relative to the year's mean around the middle of each month: a peak in December, a quiet January."""
_ONLINE_BY_MONTH: Final = (1.00, 0.99, 0.99, 0.99, 0.98, 0.98, 0.97, 0.97, 0.99, 1.00, 1.06, 1.08)
"""Online share of purchases relative to the year's mean."""
_DEPARTURES_BY_MONTH: Final = (0.70, 0.85, 0.90, 1.00, 1.05, 1.15, 1.65, 1.70, 1.00, 0.80, 0.50, 0.80)
"""Departures on trips relative to the year's mean: people travel in July and August."""
_DAYS_PER_MONTH: Final = 365.25 / 12.0

NO_PAY_DAY: Final = 0
"""Pay day of those who have no regular one."""
_PAY_DAY_PEAK, _PAY_DAY_PEAK_DAYS, _BEFORE_PAY_DAY = 1.10, 4, 0.93
"""Purchases relative to the month's mean: during the first days after pay day, how many these are, and at the end."""


class CalendarDay(Struct, frozen=True, kw_only=True):
    """One date as shops and cardholders see it.

    `weekday`: 0 is Monday. `is_holiday`: a public holiday; `is_rest_day`: that or a Sunday, on which many shops are
    closed. `purchase_ratio`, `online_ratio` and `departure_ratio` multiply the year's mean of purchases, of the online
    share among them, and of departures on trips.
    """

    date: date
    weekday: int
    is_holiday: bool
    is_rest_day: bool
    purchase_ratio: float
    online_ratio: float
    departure_ratio: float

    @property
    def is_last_of_month(self) -> bool:
        """Whether the next day belongs to another month."""
        return (self.date + timedelta(days=1)).month != self.date.month

    def purchases_by_pay_day(self) -> NDArray[np.float64]:
        """Return purchases relative to the month's mean, by pay day: of `NO_PAY_DAY` first, then of days 1 to 28.

        They are above 1 after pay day and decline until the next one.
        """
        previous_month_days = (self.date.replace(day=1) - timedelta(days=1)).day
        passed = self.date.day - np.arange(1, 29)
        passed = np.where(passed < 0, passed + previous_month_days, passed)
        return np.concatenate([[1.0], _RATIO_AFTER_PAY_DAY[passed]])


def calendar_day(day: date) -> CalendarDay:
    """Return what a date means for shops and cardholders."""
    is_holiday = is_public_holiday(day)
    return CalendarDay(
        date=day,
        weekday=day.weekday(),
        is_holiday=is_holiday,
        is_rest_day=is_holiday or day.weekday() == _SUNDAY,
        purchase_ratio=_season(_PURCHASES_BY_MONTH, day),
        online_ratio=_season(_ONLINE_BY_MONTH, day),
        departure_ratio=_season(_DEPARTURES_BY_MONTH, day),
    )


def easter(year: int) -> date:
    """Return Easter Sunday of a year in the Gregorian calendar.

    It is the anonymous Gregorian algorithm (J. Meeus, Astronomical Algorithms, chapter 8).
    """
    golden, century = year % 19, year // 100
    leap_centuries, remainder = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - correction + 15) % 30
    leaps, rest = divmod(year % 100, 4)
    to_sunday = (32 + 2 * remainder + 2 * leaps - epact - rest) % 7
    late = (golden + 11 * epact + 22 * to_sunday) // 451
    month, day = divmod(epact + to_sunday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def is_public_holiday(day: date) -> bool:
    """Return whether a date is a public holiday."""
    return day in _holidays(day.year)


def is_rest_day(day: date) -> bool:
    """Return whether many shops are closed on a date: a Sunday or a public holiday."""
    return day.weekday() == _SUNDAY or is_public_holiday(day)


@lru_cache(maxsize=8)
def _holidays(year: int) -> frozenset[date]:
    easter_sunday = easter(year)
    movable = {easter_sunday + timedelta(days=days) for days in _HOLIDAYS_AFTER_EASTER}
    return frozenset({date(year, month, day) for month, day in _FIXED_HOLIDAYS} | movable)


def _season(by_month: tuple[float, ...], day: date) -> float:
    """Return the value of a day between the middles of two months, relative to the mean of the year."""
    of_year = (day.timetuple().tm_yday - 0.5) / _DAYS_PER_MONTH - 0.5
    value = np.interp(of_year, np.arange(12), by_month, period=12.0)
    return float(value / np.mean(by_month))


def _ratio_after_pay_day() -> NDArray[np.float64]:
    """Return purchases relative to their mean over a month, by the days since pay day, 0 to 30."""
    passed = np.arange(31)
    decline = (passed - _PAY_DAY_PEAK_DAYS) / (30 - _PAY_DAY_PEAK_DAYS)
    ratio = np.where(passed < _PAY_DAY_PEAK_DAYS, _PAY_DAY_PEAK, 1.05 + (_BEFORE_PAY_DAY - 1.05) * decline)
    relative: NDArray[np.float64] = ratio / ratio.mean()
    return relative


_RATIO_AFTER_PAY_DAY: Final = _ratio_after_pay_day()
