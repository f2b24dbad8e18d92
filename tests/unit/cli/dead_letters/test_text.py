"""Dead letters as text for the terminal."""

from __future__ import annotations

import pytest
from msgspec import structs

from adapters.records.dead_letters import Original, StoredLetter
from cardwatch.events import DeadLetter
from cli.dead_letters.text import described, one_line

CARD = "4111111111111111"


def stored(value: bytes | None, **more: object) -> StoredLetter:
    letter = DeadLetter(
        topic="transactions",
        partition=2,
        offset=17,
        key=b"card-1",
        value=value,
        field="$.card_id",
        reason=f"no {CARD}\x1b",
        **more,  # type: ignore[arg-type]
    )
    return StoredLetter(1_736_164_800_000, letter)


def whole(letter: StoredLetter) -> Original:
    return Original(letter.letter.value, "the letter has all of it")


def test_a_line_says_when_where_why_and_how_large() -> None:
    assert one_line(stored(b"x" * 1_200)) == (
        "2025-01-06T12:00:00Z  transactions[2] 17: $.card_id: no [card number]\\x1b (1,200 bytes)"
    )


def test_a_long_reason_of_another_program_is_cut_in_the_list_and_shown_whole_on_its_own() -> None:
    letter = StoredLetter(1_736_164_800_000, structs.replace(stored(b"x").letter, reason="r" * 800_000))
    assert len(one_line(letter)) < 1_000
    assert "r" * 800_000 in described(letter, whole(letter), shown_bytes=None, as_hexadecimal=False)


def test_the_whole_letter_is_shown_without_card_numbers() -> None:
    letter = stored(f'{{"card": "{CARD}"}}'.encode())
    assert described(letter, whole(letter), shown_bytes=None, as_hexadecimal=False).splitlines() == [
        "record    transactions[2] 17",
        "rejected  2025-01-06T12:00:00Z",
        "field     $.card_id",
        "reason    no [card number]\\x1b",
        "key       6 bytes",
        "    card-1",
        "value     28 bytes",
        '    {"card": "[card number]"}',
    ]


@pytest.mark.parametrize("as_hexadecimal", [False, True])
def test_a_card_number_at_the_limit_is_masked_before_the_rest_is_cut(as_hexadecimal: bool) -> None:
    letter = stored(b"x" * 24 + CARD.encode() + b"y" * 100)
    text = described(letter, whole(letter), shown_bytes=32, as_hexadecimal=as_hexadecimal)
    assert "more, shown with --all" in text
    assert "4111" not in text
    assert "34 31" not in text


def test_a_cut_letter_says_where_the_rest_is() -> None:
    letter = stored(b"begin", value_bytes=90_000, value_sha256="digest")
    gone = described(letter, Original(None, "retention has deleted it"), shown_bytes=None, as_hexadecimal=False)
    assert "value     90,000 bytes, of which the letter has the first 5" in gone
    assert "retention has deleted it; SHA-256 digest" in gone
    assert gone.endswith("    begin")
    read = described(letter, Original(b"begin and rest", "read from the topic"), shown_bytes=None, as_hexadecimal=False)
    assert read.endswith("    begin and rest")


def test_a_record_without_key_and_value_is_shown() -> None:
    letter = StoredLetter(0, DeadLetter(topic="t", partition=0, offset=0, key=None, value=None, field="", reason="r"))
    text = described(letter, whole(letter), shown_bytes=None, as_hexadecimal=False)
    assert "key       none" in text
    assert "value     none" in text
    assert "field     the whole record" in text
