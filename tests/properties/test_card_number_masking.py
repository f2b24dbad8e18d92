"""Masking of card numbers in free text: every spelling of a number, and no date or time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cardwatch.card_numbers import has_prefix_of_brand, has_valid_check_digit, is_moment, mask_card_numbers
from cli.evaluate.rejects import without_card_numbers

BRANDS = {"4": 16, "51": 16, "2221": 16, "2720": 16, "34": 15, "6011": 16, "300": 14, "3095": 16, "36": 14, "3528": 16,
          "62": 19, "2200": 18, "5018": 17, "6304": 13}  # fmt: skip
"""Prefixes of brands, and a length that each issues."""
SEPARATORS = st.sampled_from([" ", "-", " - ", "\u00a0", ".", "--", ". "])
DATE_GROUPS = ["2025-01-02", "2025-12-31", "31-12-2025", "01-02", "20250102", "2025 01 02", "1999-09-09"]


def with_check_digit(digits: str) -> str:
    return next(digits + last for last in "0123456789" if has_valid_check_digit(digits + last))


@st.composite
def grouped(draw: st.DrawFn, number: str) -> str:
    """A number with separators between some of its digits."""
    cuts = sorted(draw(st.sets(st.integers(1, len(number) - 1), max_size=6)))
    parts = [number[start:end] for start, end in zip([0, *cuts], [*cuts, len(number)], strict=True)]
    return "".join(part + draw(SEPARATORS) for part in parts[:-1]) + parts[-1]


@given(digits=st.from_regex(r"[0-9]{12,18}", fullmatch=True), data=st.data())
def test_every_number_with_a_check_digit_is_masked_however_it_is_grouped(digits: str, data: st.DataObject) -> None:
    written = data.draw(grouped(with_check_digit(digits)))
    assume("19" not in digits and "20" not in digits and "21" not in digits)  # the years of dates
    assert mask_card_numbers(f"card {written} is refused") == "card [card number] is refused"


@given(prefix=st.sampled_from(list(BRANDS)), data=st.data())
def test_every_number_of_a_brand_is_masked_however_it_is_grouped(prefix: str, data: st.DataObject) -> None:
    filling = BRANDS[prefix] - len(prefix) - 1
    number = with_check_digit(prefix + data.draw(st.from_regex(rf"[0-9]{{{filling}}}", fullmatch=True)))
    assert has_prefix_of_brand(number)
    written = data.draw(grouped(number))
    assert mask_card_numbers(f"card {written} is refused") == "card [card number] is refused"


@given(prefix=st.sampled_from(list(BRANDS)), groups=st.sampled_from(DATE_GROUPS), data=st.data())
def test_a_number_of_a_brand_with_groups_that_look_like_a_date_is_masked(
    prefix: str, groups: str, data: st.DataObject
) -> None:
    dated = sum(character.isdecimal() for character in groups)
    filling = BRANDS[prefix] - len(prefix) - dated - 1
    assume(filling >= 0)
    before = data.draw(st.integers(0, filling))
    digits = data.draw(st.from_regex(rf"[0-9]{{{filling}}}", fullmatch=True))
    plain = "".join(character for character in groups if character.isdecimal())
    check_digit = with_check_digit(prefix + digits[:before] + plain + digits[before:])[-1]
    written = f"{prefix}{digits[:before]}-{groups}{data.draw(SEPARATORS)}{digits[before:]}{check_digit}"
    assert mask_card_numbers(f"card {written} is refused") == "card [card number] is refused"


moments = st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31))  # noqa: DTZ001 (with and without a zone)
FORMATS = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S",
           "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S%z",
           "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f %z", "%d-%m-%Y %H:%M:%S,%f"]  # fmt: skip


@given(moment=moments, form=st.sampled_from(FORMATS), hours=st.integers(-11, 14))
@example(moment=datetime(2025, 1, 2, 3, 4, 5), form="%Y-%m-%d %H:%M:%S", hours=0)  # noqa: DTZ001
def test_a_date_with_a_time_is_not_masked(moment: datetime, form: str, hours: int) -> None:
    written = moment.replace(tzinfo=timezone(timedelta(hours=hours))).strftime(form)
    assert is_moment(written)
    assert mask_card_numbers(f"row 7: {written!r} is not a number") == f"row 7: {written!r} is not a number"
    assert without_card_numbers(written) == written
    twice = f"from {written}, {written} to {written}"
    assert mask_card_numbers(twice) == twice


@given(moment=moments)
@example(moment=datetime(2025, 5, 30))  # noqa: DTZ001 (30202505292025 has the prefix of Diners Club)
def test_dates_and_times_in_a_row_are_not_masked(moment: datetime) -> None:
    days = ", ".join((moment - timedelta(days=number)).strftime("%Y-%m-%d") for number in range(3))
    assert mask_card_numbers(days) == days


@given(moment=moments, prefix=st.sampled_from(list(BRANDS)), data=st.data())
def test_a_number_beside_a_date_is_masked(moment: datetime, prefix: str, data: st.DataObject) -> None:
    filling = BRANDS[prefix] - len(prefix) - 1
    number = with_check_digit(prefix + data.draw(st.from_regex(rf"[0-9]{{{filling}}}", fullmatch=True)))
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S"):
        for text in (f"{moment.strftime(form)},{number};", f"{number} {moment.strftime(form)}"):
            assert number not in mask_card_numbers(text)


@pytest.mark.parametrize(
    "text", ["2025-13-02 03:04:05", "2025-01-02 24:04:05", "2025-01-02", "03:04:05", "2025-01-02 03:04:05 4111"]
)
def test_other_texts_are_no_moments(text: str) -> None:
    assert not is_moment(text)
