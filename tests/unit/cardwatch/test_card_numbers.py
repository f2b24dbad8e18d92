"""Card numbers in every form that exports write, and long numbers that are none.

The card numbers are published test numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardwatch.card_numbers import (
    _CANDIDATE,
    digits_of,
    has_prefix_of_brand,
    looks_like_card_number,
    mask_card_numbers,
    may_hold_number,
)

PUBLISHED = [
    "4111111111111111",
    "4222222222222",
    "5500005555555559",
    "2223003122003222",
    "340000000000009",
    "378282246310005",
    "6011000000000004",
    "30000000000004",
    "38520000023237",
    "3530111333300000",
    "6200000000000005",
]
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "read as a float": lambda number: f"{number}.0",
    "in exponent form": lambda number: f"{float(number):.15e}",
    "cut in exponent form": lambda number: f"{float(number):.5E}",
    "with no-break spaces": lambda number: "\u00a0".join(number[i : i + 4] for i in range(0, len(number), 4)),
    "with points": lambda number: ".".join(number[i : i + 4] for i in range(0, len(number), 4)),
    "with an apostrophe in front": lambda number: f"'{number}",
    "as a formula of a spreadsheet": lambda number: f'="{number}"',
    "with dashes between blanks": lambda number: " - ".join(number[i : i + 4] for i in range(0, len(number), 4)),
    "with zero-width spaces": "\u200b".join,
    "with a mark of the byte order": lambda number: f"\ufeff{number}\u00a0",
    "in full-width digits": lambda number: "".join(chr(0xFF10 + int(digit)) for digit in number),
}


@pytest.mark.parametrize("number", PUBLISHED)
@pytest.mark.parametrize("form", FORMS)
def test_a_card_number_is_recognised_however_it_is_written(number: str, form: str) -> None:
    assert looks_like_card_number(FORMS[form](number))


@pytest.mark.parametrize("number", PUBLISHED)
def test_a_card_number_has_the_prefix_and_the_length_of_a_brand(number: str) -> None:
    assert has_prefix_of_brand(number)
    assert has_prefix_of_brand(f"{number}.0")


@pytest.mark.parametrize(
    "text", ["", "card-4111111111111111", "4111111111111112", "411111111111", "12345.0", "1.5e3", "0x4111111111111111"]
)
def test_other_texts_are_no_card_numbers(text: str) -> None:
    assert not looks_like_card_number(text)
    assert not has_prefix_of_brand(text)


# 1714557600000009 has a valid check digit (Luhn sum 50) and begins with 17, which no brand has.
@pytest.mark.parametrize("number", ["1714557600000009", "0000000000000000", "79927398713000006"])
def test_a_number_with_a_check_digit_by_chance_has_no_prefix_of_a_brand(number: str) -> None:
    assert not has_prefix_of_brand(number)


@pytest.mark.parametrize(
    ("low", "high", "allowed"),
    [
        (1_600_000_000_000_000_000, 1_900_000_000_000_000_000, 0.0),  # snowflake ids
        (1_714_557_600_000, 1_714_557_600_000 + 10**9, 0.0),  # epoch in milliseconds
        (1_714_557_600_000_000, 1_714_557_600_000_000 + 10**12, 0.0),  # epoch in microseconds
        (-(2**63), 2**63, 0.002),  # 64-bit hashes
    ],
)
def test_ids_that_are_long_numbers_are_no_card_numbers(low: int, high: int, allowed: float) -> None:
    draw = random.Random(1)
    numbers = [str(draw.randrange(low, high)) for _ in range(5_000)]
    assert sum(map(has_prefix_of_brand, numbers)) / len(numbers) <= allowed


@pytest.mark.rubric("data-5")
def test_card_numbers_in_free_text_are_masked() -> None:
    text = "Export of card 4111 1111 1111 1111, then 5500-0055-5555-5559; order 1234567890123"
    assert mask_card_numbers(text) == "Export of card [card number], then [card number]; order 1234567890123"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("2024-03-01 10:00:07,4111111111111111,shop-1,12.50", "2024-03-01 10:00:07,[card number],shop-1,12.50"),
        ("17,4111 1111 1111 1111,4", "17,[card number],4"),
        ("card_4111111111111111.0", "card_[card number].0"),
        ("4111111111111111;5500005555555559", "[card number];[card number]"),
        ("\uff14111111111111111", "[card number]"),
    ],
)
def test_a_card_number_is_masked_whatever_stands_beside_it(text: str, masked: str) -> None:
    assert mask_card_numbers(text) == masked


def test_any_number_of_card_numbers_in_a_row_is_masked() -> None:
    assert mask_card_numbers("4111111111111111 " * 5_000) == "[card number] " * 5_000


@pytest.mark.parametrize("number", PUBLISHED)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_card_number_has_the_same_digits_unless_they_are_lost(number: str, form: str) -> None:
    assert digits_of(FORMS[form](number)) == ("" if "exponent" in form else number)


def test_what_is_no_card_number_has_no_digits_of_one() -> None:
    assert digits_of("4111111111111112") == digits_of("card-4111111111111111") == ""


@given(st.text("0123456789٣a -.,eE+", max_size=30))
@settings(deadline=None)
def test_the_quick_check_rules_out_no_form_of_a_card_number(text: str) -> None:
    assert may_hold_number(text) == bool(_CANDIDATE.search(text))
