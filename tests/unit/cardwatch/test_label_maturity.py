"""The newest event day with complete labels."""

from datetime import date

from cardwatch.label_maturity import DEFAULT_MATURITY_DAYS, newest_mature_day


def test_a_day_is_mature_after_the_maturity_days() -> None:
    assert newest_mature_day(date(2025, 3, 3), 5) == date(2025, 2, 26)
    assert newest_mature_day(date(2025, 3, 3), 0) == date(2025, 3, 3)


def test_the_default_is_that_of_the_policy() -> None:
    assert newest_mature_day(date(2025, 3, 3)) == newest_mature_day(date(2025, 3, 3), DEFAULT_MATURITY_DAYS)
