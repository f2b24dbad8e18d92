"""Texts and bytes of others on a terminal: no card number, no control character."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.records.printable import as_hex, as_text, printable

CARD = "4111111111111111"


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    assert printable("a\x1b[2Jb\u202ec\nd\u00e4") == "a\\x1b[2Jb\\u202ec\\nd\u00e4"


def test_bytes_that_are_text_are_shown_as_text_without_card_numbers() -> None:
    assert as_text(f'{{"card": "{CARD}"}}\n{{"n": "\u00e4"}}'.encode()) == '{"card": "[card number]"}\n{"n": "\u00e4"}'


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\x00b", b"\x1b[2J"])
def test_other_bytes_are_no_text(data: bytes) -> None:
    assert as_text(data) is None


def test_a_listing_shows_offset_bytes_and_characters() -> None:
    assert as_hex(b"\x00card\xff" + b"x" * 11).splitlines() == [
        "000000  00 63 61 72 64 ff 78 78 78 78 78 78 78 78 78 78   .card.xxxxxxxxxx",
        "000010  78                                                x",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" + CARD.encode() + b"\xff",
        b"\xe4\x00" + b" ".join([b"4111", b"1111", b"1111", b"1111"]),
        CARD.encode("utf-16-le"),
        "\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661".encode(),
        b"\x00" * 9 + CARD.encode(),  # across two lines
    ],
    ids=["in other bytes", "in groups", "UTF-16", "Arabic digits", "two lines"],
)
def test_a_listing_shows_no_digit_of_a_card_number(data: bytes) -> None:
    values = "".join(line[8:56] for line in as_hex(data).splitlines())
    characters = "".join(line[58:] for line in as_hex(data).splitlines())
    assert re.findall(r"3[0-9]", values.replace("**", "")) == []
    assert "d9" not in values
    assert not any(character.isdigit() for character in characters)


@given(st.binary(max_size=100))
def test_a_listing_without_card_numbers_gives_the_bytes_back(data: bytes) -> None:
    listed = as_hex(data)
    if "**" not in listed:
        assert bytes.fromhex("".join(line[8:56] for line in listed.splitlines())) == data
